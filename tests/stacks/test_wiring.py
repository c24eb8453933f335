"""The wiring: what the type checker refuses before anything runs."""

import subprocess
import sys
from typing import Any

from tests.emitted import NESTED, ROOT, load_template

GIVEN = """
from troposphere import Ref, Template
from stacks.data import stack as data
from stacks.security import stack as security
from stacks.wiring import Nest

nest = Nest(Template(), "yaml")
env, secret, key, days = Ref("Environment"), Ref("Secret"), Ref("Key"), Ref("Days")
others = dict(key_deletion_window_days=days, workflow_customer_key=env, backup_retention_days=days, permissions_boundary=env, service_role=env)
"""
MISTAKES = {
    "a misspelt output": "secure = nest.add('S', security.build, security.Inputs(environment=env,"
    " gateway_secret_arn=secret, gateway_secret_key_arn=key, **others), '')\nsecure.dynamo_key_arn",
    "a missing input": "nest.add('S', security.build, security.Inputs(environment=env), '')",
    "a literal": "nest.add('S', security.build, security.Inputs(environment='dev', gateway_secret_arn=secret, gateway_secret_key_arn=key, **others), '')",
    "another stack's inputs": "nest.add('D', data.build, security.Inputs(environment=env,"
    " gateway_secret_arn=secret, gateway_secret_key_arn=key, **others), '')",
    "a use before the stack exists": "security.Inputs(environment=store.table_name, gateway_secret_arn=secret, gateway_secret_key_arn=key, **others)\n"
    "store = nest.add('D', data.build, data.Inputs(), '')",
}


def test_the_type_checker_catches(tmp_path) -> None:
    """All mistakes in one run of mypy, and none in the same text without a mistake."""
    files = {
        "right": "nest.add('S', security.build, security.Inputs(environment=env, gateway_secret_arn=secret, gateway_secret_key_arn=key, **others), '')"
    }
    files |= {name.replace(" ", "_").replace("'", ""): text for name, text in MISTAKES.items()}
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(GIVEN + text + "\n")
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "setup.cfg", "--enable-error-code", "used-before-def",
         *sorted(tmp_path.glob("*.py"))],
        cwd=ROOT, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    wrong = {name for name in files if f"{name}.py:" in ran.stdout}
    assert wrong == set(files) - {"right"}, ran.stdout + ran.stderr


def test_an_input_is_a_parameter_inside_and_an_output_a_get_att_outside() -> None:
    from troposphere import Ref, Template

    from stacks.security import stack as security
    from stacks.wiring import Nest

    nest = Nest(Template(), "yaml")
    outputs = nest.add(
        "Security",
        security.build,
        security.Inputs(
            environment=Ref("Env"),
            gateway_secret_arn=Ref("Env"),
            gateway_secret_key_arn=Ref("Env"),
            key_deletion_window_days=Ref("Days"),
            workflow_customer_key=Ref("Env"),
            backup_retention_days=Ref("Days"),
            permissions_boundary=Ref("Env"),
            service_role=Ref("Env"),
        ),
        "description",
    )
    child = nest.children["security"].to_dict()
    assert child["Parameters"]["KeyDeletionWindowDays"]["Type"] == "Number"
    assert outputs.sns_key_arn.to_dict() == {"Fn::GetAtt": ["Security", "Outputs.SnsKeyArn"]}
    stack = nest.parent.to_dict()["Resources"]["Security"]["Properties"]
    assert stack["Parameters"]["KeyDeletionWindowDays"] == {"Ref": "Days"}


def test_no_condition_reads_what_another_stack_puts_out() -> None:
    """While a change set is made, an output is a placeholder, and nothing says that the condition is decided anew."""
    parent = load_template("parent")["Resources"]
    checked = 0
    for title in (name.capitalize() for name in NESTED):
        parameters = parent[title]["Properties"]["Parameters"]
        outputs = {name for name, value in parameters.items() if _mentions(value, "Fn::GetAtt")}
        conditions = load_template(title.lower()).get("Conditions", {})
        for condition, value in conditions.items():
            assert not outputs & _references(value), f"{title}: condition {condition} reads an output; use a setting"
            checked += 1
    assert checked >= 5


def _mentions(value: Any, function: str) -> bool:
    if isinstance(value, dict):
        return function in value or any(_mentions(item, function) for item in value.values())
    return isinstance(value, list) and any(_mentions(item, function) for item in value)


def _references(value: Any) -> set[str]:
    """The parameters that a condition reads."""
    if isinstance(value, dict):
        own = {value["Ref"]} if "Ref" in value else set()
        return own.union(*(_references(item) for item in value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()
