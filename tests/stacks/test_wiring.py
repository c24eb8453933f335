"""The wiring of the stacks, whose mistakes the type checker reports before anything runs."""

import subprocess
import sys

import pytest
from troposphere import Ref, Template

from stacks.security import stack as security
from stacks.settings import Bootstrap, all_settings
from stacks.wiring import Nest
from tests.emitted import NESTED, ROOT, find_arguments, load_template

PREAMBLE = """
from troposphere import Ref, Template
from stacks.data import stack as data
from stacks.security import stack as security
from stacks.wiring import Nest

nest = Nest(Template(), "yaml")
key = Ref("Key")
keys = dict(dynamodb_key_arn=key, sns_key_id=key, queue_key_arn=key)
"""
CORRECT = "nest.add('D', data.build, data.Inputs(backup_role_arn=key, **keys), '')"
MISTAKES = {
    "a misspelt output": "secure = nest.add('S', security.build, security.Inputs(), '')\nsecure.dynamo_key_arn",
    "a missing input": "nest.add('D', data.build, data.Inputs(backup_role_arn=key), '')",
    "a literal": "nest.add('D', data.build, data.Inputs(backup_role_arn='arn', **keys), '')",
    "a literal for a setting": "nest.add('S', security.build, security.Inputs(service_role='true'), '')",
    "an input of another stack": "nest.add('D', data.build, security.Inputs(), '')",
    "a use before the stack exists": "data.Inputs(backup_role_arn=secure.backup_role_arn, **keys)\n"
    "secure = nest.add('S', security.build, security.Inputs(), '')",
}


def test_the_type_checker_reports_wrong_wiring(tmp_path) -> None:
    """One run of mypy reports each mistake, and nothing in correct code."""
    files = {"correct": CORRECT} | {name.replace(" ", "_"): text for name, text in MISTAKES.items()}
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(f"{PREAMBLE}{text}\n")
    mypy = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", ROOT / "setup.cfg", "--enable-error-code", "used-before-def",
         *sorted(tmp_path.glob("*.py"))],
        cwd=ROOT, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    reported = {name for name in files if f"{name}.py:" in mypy.stdout}
    assert reported == set(files) - {"correct"}, mypy.stdout + mypy.stderr


def test_an_input_becomes_a_parameter_and_an_output_a_get_att() -> None:
    nest = Nest(Template(), "yaml")
    outputs = nest.add("Security", security.build, security.Inputs(key_deletion_window_days=Ref("Days")), "")
    child = nest.children["security"].to_dict()
    assert child["Parameters"]["KeyDeletionWindowDays"]["Type"] == "Number"
    assert child["Parameters"]["GatewaySecretArn"]["Type"] == "String"
    assert outputs.sns_key_arn.to_dict() == {"Fn::GetAtt": ["Security", "Outputs.SnsKeyArn"]}
    stack = nest.parent.to_dict()["Resources"]["Security"]["Properties"]
    assert stack["Parameters"]["KeyDeletionWindowDays"] == {"Ref": "Days"}


@pytest.mark.parametrize("nested", NESTED)
def test_an_input_with_the_name_of_a_setting_has_its_value(nested: str) -> None:
    parameters = load_template("parent")["Resources"][nested.capitalize()]["Properties"]["Parameters"]
    settings = {setting.parameter_name for setting in (*all_settings(), *all_settings(Bootstrap))} | {"Environment"}
    assert "Environment" in parameters
    for name in settings & set(parameters):
        assert parameters[name] == {"Ref": name}


def test_no_condition_reads_an_output_of_another_stack() -> None:
    """While a change set is created, outputs are placeholders; AWS documents no second evaluation of conditions."""
    parent = load_template("parent")["Resources"]
    checked = 0
    for title in (name.capitalize() for name in NESTED):
        parameters = parent[title]["Properties"]["Parameters"]
        outputs = {name for name, value in parameters.items() if find_arguments("Fn::GetAtt", value)}
        conditions = load_template(title.lower()).get("Conditions", {})
        for condition, value in conditions.items():
            assert not outputs.intersection(find_arguments("Ref", value)), (
                f"{title}: condition {condition} reads an output; use a setting"
            )
            checked += 1
    assert checked >= 5
