"""A version of a function is published exactly when its content changes.

The content is computed from the emitted templates: the properties that Lambda keeps with a version according to its
service model, with all references resolved; the bytes of the code; and the files of the layer.
"""

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from troposphere import Tags, awslambda

from scripts.common.evaluate import evaluate
from scripts.common.evaluated import TOKEN, Evaluated
from scripts.common.templates import Tree
from scripts.deployer.archive import zip_folder
from stacks import names, settings
from stacks.compute import function_code, layers
from stacks.compute import stack as compute
from stacks.render import build_documents
from stacks.security import keys

FUNCTIONS = {"Validation", "Processing", "Reconciliation"}
WITH_LAYER = {"Processing", "Reconciliation"}
GATEWAY_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:stripe-AbCdEf"
GATEWAYS = {"simulator": {"Gateway": "simulator", "GatewaySecretArn": ""},
            "stripe": {"Gateway": "stripe", "GatewaySecretArn": GATEWAY_ARN}}  # fmt: skip
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
DEFAULTS = {"Architectures": ["x86_64"], "EphemeralStorage": {"Size": 512}, "PackageType": "Zip"}


SERVICE = boto3.client(
    "lambda", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
).meta.service_model
# The properties that Lambda returns for a version.
VERSIONED = {name.lower() for name in SERVICE.shape_for("FunctionConfiguration").members}


@dataclass
class Change:
    """A change of the generator's inputs, in a copy of them, or of a deployment's settings."""

    monkeypatch: pytest.MonkeyPatch
    folder: Path

    def __post_init__(self) -> None:
        shutil.copytree(function_code.FOLDER, self.code, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(layers.STRIPE, self.requirements)
        self.parameters: dict[str, str] = {}
        self.monkeypatch.setattr(function_code, "digest_code", partial(function_code.digest_code, self.code))
        self.monkeypatch.setattr(layers, "STRIPE", self.requirements)

    @property
    def code(self) -> Path:
        return self.folder / "lambda"

    @property
    def requirements(self) -> Path:
        return self.folder / "requirements.txt"

    def set(self, module: Any, name: str, value: Any) -> None:
        self.monkeypatch.setattr(module, name, value)

    def rename(self, kind: str, purpose: str) -> None:
        """Rename the ``kind`` of one function, such as its role."""
        name_by_purpose = getattr(names.Function, kind).fget
        self.set(
            names.Function,
            kind,
            property(lambda named: "other-${Environment}" if named.purpose == purpose else name_by_purpose(named)),
        )

    def edit_requirements(self, edit: Callable[[str], str]) -> None:
        text = self.requirements.read_text()
        self.requirements.write_text(edit(text))
        assert self.requirements.read_text() != text

    def edit_properties(self, kind: str, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        create = getattr(awslambda, kind)
        self.monkeypatch.setattr(awslambda, kind, lambda title, **properties: create(title, **edit(properties)))


def describe_versions(change: Change, gateway: str) -> dict[str, tuple[str, str]]:
    """Return the description and the content of each function's version."""
    templates = build_documents("json")
    nested = {title: Tree(templates[title.lower()]) for title in templates["parent"]["Resources"]}
    parameters = settings.load("dev") | GATEWAYS[gateway] | change.parameters
    platform = evaluate(Tree(templates["parent"], nested), parameters, {})
    resources = platform.nested["Compute"].resources
    return {
        title: (
            resources[f"{title}Version"].properties["Description"],
            str(describe_version(resources[f"{title}Function"].properties, platform, change)),
        )
        for title in FUNCTIONS
    }


def describe_version(properties: dict[str, Any], platform: Evaluated, change: Change) -> Any:
    configuration = {name: value for name, value in (DEFAULTS | properties).items() if name.lower() in VERSIONED}
    return physical(
        [*sorted(configuration.items()), hashlib.sha256(zip_folder(change.code)).hexdigest()], platform, change
    )


def physical(value: Any, platform: Evaluated, change: Change) -> Any:
    """Replace each reference in a value by what identifies the resource."""
    if isinstance(value, dict):
        return [(key, physical(item, platform, change)) for key, item in sorted(value.items())]
    if isinstance(value, list | tuple):
        return [physical(item, platform, change) for item in value]
    return TOKEN.sub(partial(identity, platform, change), str(value))


def identity(platform: Evaluated, change: Change, token: re.Match[str]) -> str:
    if "/" not in token[1]:
        return token[0]  # a pseudo parameter, or the environment
    stack, logical_id = token[1].split("/")
    resource = platform.nested[stack].resources[logical_id]
    if resource.type == "AWS::KMS::Key":
        return token[1]
    if resource.type == "AWS::Lambda::LayerVersion":
        pins = re.findall(r"^[^#\n].*--hash=sha256:([0-9a-f]{64})$", change.requirements.read_text(), re.MULTILINE)
        assert pins
        return str([sorted(pins), sorted({**resource.properties, "Content": ""}.items())])
    (name,) = (value for key, value in resource.properties.items() if key in (
        "TableName", "QueueName", "TopicName", "RoleName", "LogGroupName"))  # fmt: skip
    return str(physical(name, platform, change)) + token[2]


def reverse_variables(properties: dict[str, Any]) -> dict[str, Any]:
    variables = properties["Environment"].properties["Variables"]
    return properties | {"Environment": awslambda.Environment(Variables=dict(reversed(variables.items())))}


CHANGES: dict[str, tuple[Callable[[Change], Any], set[str], set[str]]] = {
    # The change, and the functions whose versions are published with the simulator and with Stripe.
    "a comment in the layer's requirements": (lambda c: c.edit_requirements(lambda t: "# why\n\n" + t), set(), set()),
    "the order of the layer's requirements": (
        lambda c: c.edit_requirements(lambda t: "\n".join(sorted(t.splitlines(), reverse=True)) + "\n"), set(), set()),
    "a pin of the layer": (
        lambda c: c.edit_requirements(lambda t: re.sub(r"(idna==.*sha256:)[0-9a-f]{8}", r"\g<1>00000000", t)),
        set(), WITH_LAYER),
    "one more in the layer": (
        lambda c: c.edit_requirements(lambda t: t + f"more==1.0 --hash=sha256:{'1' * 64}\n"), set(), WITH_LAYER),
    "the description of the layer": (
        lambda c: c.edit_properties("LayerVersion", lambda g: g | {"Description": "Another"}), set(), WITH_LAYER),
    "the description of the functions": (
        lambda c: c.edit_properties("Function", lambda g: g | {"Description": "Another"}), FUNCTIONS, FUNCTIONS),
    "their memory": (
        lambda c: c.edit_properties("Function", lambda g: g | {"MemorySize": 512}), FUNCTIONS, FUNCTIONS),
    "their runtime": (lambda c: c.set(compute, "RUNTIME", "python3.13"), FUNCTIONS, FUNCTIONS),
    "a variable's value": (lambda c: c.parameters.update(MaximumAmounts="USD=9"), {"Validation"}, {"Validation"}),
    "a variable that all have": (
        lambda c: c.parameters.update(NotifyBusinessOutcomes="false"), FUNCTIONS, FUNCTIONS),
    "another secret": (lambda c: c.parameters.update(GatewaySecretArn=GATEWAY_ARN + "2"), WITH_LAYER, WITH_LAYER),
    "the log level": (lambda c: c.parameters.update(FunctionLogLevel="DEBUG"), FUNCTIONS, FUNCTIONS),
    "the order of the variables": (
        lambda c: c.edit_properties("Function", reverse_variables), set(), set()),
    "a default that is left out": (
        lambda c: c.edit_properties("Function", lambda g: {k: v for k, v in g.items() if k != "Architectures"}),
        set(), set()),
    "a default that is written down": (
        lambda c: c.edit_properties("Function", lambda g: g | {"PackageType": "Zip"}), set(), set()),
    "a tag": (lambda c: c.set(compute, "platform_tags", lambda: Tags(Other="tags")), set(), set()),
    "the reserved concurrency": (lambda c: c.parameters.update(ReservedConcurrency="7"), set(), set()),
    "the retention of the logs": (lambda c: c.parameters.update(LogRetentionDays="30"), set(), set()),
    "a file of the code": (lambda c: (c.code / "more.py").write_text("x = 1\n"), FUNCTIONS, FUNCTIONS),
    "a line of the code": (lambda c: (c.code / "handlers" / "events.py").open("a").write("\n"), FUNCTIONS, FUNCTIONS),
    "a hidden file": (lambda c: (c.code / ".hidden").write_text("x"), set(), set()),
    "a file's mode": (lambda c: (c.code / "handlers" / "events.py").chmod(0o700), set(), set()),
    "a file's date": (lambda c: (c.code / "handlers" / "events.py").touch(), set(), set()),
    "the table's name": (lambda c: c.set(names, "TABLE", "other-${Environment}"), FUNCTIONS, FUNCTIONS),
    "the queue's name": (lambda c: c.set(names, "QUEUE", "other-${Environment}"), FUNCTIONS, FUNCTIONS),
    "the topic's name": (
        lambda c: c.set(names, "TOPIC", "other-${Environment}"), {"Reconciliation"}, {"Reconciliation"}),
    "a role's name": (
        lambda c: c.rename("role", "processing"), {"Processing"}, {"Processing"}),
    "a log group's name": (
        lambda c: c.rename("log_group", "validation"), {"Validation"}, {"Validation"}),
    "another key": (lambda c: c.set(keys, "FUNCTIONS_KEY", "OtherKey"), FUNCTIONS, FUNCTIONS),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_version_is_published_exactly_when_its_content_changes(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    apply, *published = CHANGES[name]
    change = Change(monkeypatch, tmp_path)
    before = {gateway: describe_versions(change, gateway) for gateway in GATEWAYS}
    apply(change)
    for gateway, expected in zip(GATEWAYS, published, strict=True):
        after = describe_versions(change, gateway)
        described, held_anew = (
            {title for title in FUNCTIONS if before[gateway][title][part] != after[title][part]} for part in (0, 1)
        )
        assert held_anew == expected, gateway
        assert described == held_anew, gateway


def test_another_gateway_publishes_the_functions_that_call_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    change = Change(monkeypatch, tmp_path)
    simulator, stripe = (describe_versions(change, gateway) for gateway in GATEWAYS)
    for part in (0, 1):
        assert {title for title in FUNCTIONS if simulator[title][part] != stripe[title][part]} == WITH_LAYER


def test_the_longest_description_fits_lambdas_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    change = Change(monkeypatch, tmp_path)
    parameters = build_documents("json")["parent"]["Parameters"]
    amounts = ",".join(f"USD={'9' * 9}" for _ in range(10))[: parameters["MaximumAmounts"]["MaxLength"]]
    secret = "arn:aws-us-gov:secretsmanager:" + "s" * 150
    assert settings.Settings.gateway_secret_arn.accepts(secret)
    assert not settings.Settings.gateway_secret_arn.accepts(secret + "s")
    change.parameters |= {"MaximumAmounts": amounts, "HighValueAmounts": amounts, "FraudScoreLimit": "100"}
    change.parameters |= {
        "GatewaySecretArn": secret,
        "FunctionLogLevel": "DEBUG",
        "NotifyBusinessOutcomes": "false",
        "OpenShards": "64",
        "GatewayRequestsPerSecond": "10000",
        "CustomerDataDays": "3650",
    }
    longest = max(len(description) for description, _ in describe_versions(change, "stripe").values())
    limit = SERVICE.operation_model("PublishVersion").input_shape.members["Description"].metadata["max"]
    assert 200 < longest <= limit == 256


def test_invalid_requirements_of_the_layer_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import generate

    requirements = tmp_path / "requirements.txt"
    monkeypatch.setattr(layers, "STRIPE", requirements)
    assert generate.main(["--check"]) == 1
    assert "requirements.txt: cannot be read (No such file or directory)" in capsys.readouterr().err
    requirements.write_text("idna==3.20\n")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"generate.py: {requirements}: not a version pinned by one hash: idna==3.20"
    ]
