"""The templates as an environment has them: settings filled in, conditions decided; prod with everything switched on.

A scanner that reads the committed templates cannot follow a parameter: it takes what depends on one for given, or
refuses to say. So it is given what CloudFormation makes of them.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.common.evaluate import TOKEN, Evaluated, evaluate
from scripts.common.templates import Tree, parse_template
from stacks import settings
from stacks.render import render

ACCOUNT = "123456789012"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": "eu-central-1",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
PROD = "prod"
# What makes every resource and every role of the templates.
OPTIONAL_PARTS = {
    "Gateway": "stripe",
    "GatewaySecretArn": f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:stripe-AbCdEf",
    "GatewaySecretKeyArn": f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11",
    "NotificationEndpoint": "on-call@example.com",
    "PermissionsBoundary": "platform",
    "ServiceRole": "true",
}
BOOTSTRAP = {"Owner": "PaymentTeam", "GithubRepository": "us/payments"}

Template = dict[str, Any]


def evaluate_templates(committed: Mapping[str, Template], environment: str = PROD) -> dict[str, Template]:
    """Each of the ``committed`` templates (by name, the parent among them) as the environment has it.

    Prod has every optional part, and the account's own template; another environment has what its settings say.
    """
    nested = {
        title: Tree(committed[resource["Properties"]["TemplateURL"].removeprefix("./").split(".")[0]])
        for title, resource in committed["parent"]["Resources"].items()
    }
    parameters = settings.load(environment) | (OPTIONAL_PARTS if environment == PROD else {})
    platform = evaluate(Tree(committed["parent"], nested), parameters, PSEUDO)
    values = PSEUDO | {"Environment": environment}
    found = {
        title.lower(): _template(nested[title].template, stack, f"{title}/", values)
        for title, stack in platform.nested.items()
    }
    if "artifacts" in committed and environment == PROD:
        account = evaluate(Tree(committed["artifacts"]), OPTIONAL_PARTS | BOOTSTRAP, PSEUDO)
        found["artifacts"] = _template(committed["artifacts"], account, "", values)
    return found


def read_committed(folder: Path) -> dict[str, Template]:
    return {Path(name).stem: parse_template((folder / name).read_text(encoding="utf-8")) for name in render()}


def write_templates(found: Mapping[str, Template], folder: Path) -> None:
    for name, template in found.items():
        (folder / f"{name}.json").write_text(json.dumps(template, indent=1), encoding="utf-8")


def _template(source: Template, stack: Evaluated, path: str, values: Mapping[str, str]) -> Template:
    """As a template again: scanners follow references within a stack, and look for Metadata."""
    resources = {}
    for logical_id, resource in stack.resources.items():
        resources[logical_id] = {
            "Type": resource.type,
            "DeletionPolicy": resource.deletion_policy,
            "UpdateReplacePolicy": resource.update_replace_policy,
            "Properties": _referring(resource.properties, path, set(stack.resources)),
        }
        if metadata := source["Resources"][logical_id].get("Metadata"):
            resources[logical_id]["Metadata"] = _filled_in(metadata, values)
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def _filled_in(metadata: Any, values: Mapping[str, str]) -> Any:
    """With ``values`` for names such as ``<Environment>``, as the findings on what is deployed have them."""
    text = json.dumps(metadata)
    for name, value in values.items():
        text = text.replace(f"<{name}>", value)
    return json.loads(text)


def _referring(value: Any, path: str, own: set[str]) -> Any:
    """Tokens of this stack's resources as the references they stand for; those of other stacks stay text."""
    if isinstance(value, dict):
        return {key: _referring(item, path, own) for key, item in value.items()}
    if isinstance(value, list):
        return [_referring(item, path, own) for item in value]
    if not isinstance(value, str):
        return value

    def own_name(match: re.Match[str]) -> str:
        """The resource's logical id, if it is one of this stack."""
        name = match[1].removeprefix(path)
        return name if match[1] == f"{path}{name}" and name in own else ""

    if (match := TOKEN.fullmatch(value)) and (name := own_name(match)):
        return {"Fn::GetAtt": [name, match[2].removeprefix(".")]} if match[2] else {"Ref": name}
    if (match := TOKEN.match(value)) and (name := own_name(match)) and match[2]:
        return {"Fn::Join": ["", [{"Fn::GetAtt": [name, match[2].removeprefix(".")]}, value[match.end() :]]]}
    # CloudFormation gives a number to a property that is one; a parameter is text.
    return int(value) if re.fullmatch("[0-9]{1,6}", value) else value
