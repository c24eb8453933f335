"""Evaluates the templates as an environment deploys them: parameters filled in, conditions decided.

Scanners cannot follow parameters: they assume a value or skip the check. So they get the evaluated templates; those of
prod have every optional part.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.common.evaluate import evaluate
from scripts.common.evaluated import TOKEN, Evaluated
from scripts.common.target import pseudo_parameters
from scripts.common.templates import Tree, parse_template
from stacks import settings
from stacks.render import render_files

ACCOUNT = "123456789012"
PSEUDO = pseudo_parameters(ACCOUNT, "eu-central-1")
PROD = "prod"
# The parameters that switch on every optional resource and role.
OPTIONAL_PARTS = {
    "Gateway": "stripe",
    "GatewaySecretArn": f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:stripe-AbCdEf",
    "GatewaySecretKeyArn": f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/0b1d5a34-8f8e-4ad7-9a1c-8a0a4d0c1f11",
    "NotificationEndpoint": "on-call@example.com",
    "PermissionsBoundary": "platform",
    "ServiceRole": "true",
    "TrafficShift": "Canary10Percent10Minutes",
    "WorkflowType": "standard-after-express",
}
BOOTSTRAP = {"Owner": "PaymentTeam", "GithubRepository": "us/payments"}

Template = dict[str, Any]


def evaluate_templates(committed: Mapping[str, Template], environment: str = PROD) -> dict[str, Template]:
    """Return each nested template by its lower-case title, evaluated with the settings of ``environment``.

    ``committed`` are the templates by name. Prod also has every optional part and the account's own template.
    """
    nested = {
        title: Tree(committed[title.lower()])
        for title in committed["parent"]["Resources"]
        if title.lower() in committed
    }
    parameters = settings.load(environment) | (OPTIONAL_PARTS if environment == PROD else {})
    platform = evaluate(Tree(committed["parent"], nested), parameters, PSEUDO)
    values = PSEUDO | {"Environment": environment}
    evaluated = {
        title.lower(): _rebuild_template(nested[title].template, stack, f"{title}/", values)
        for title, stack in platform.nested.items()
        if title in nested
    }
    if "artifacts" in committed and environment == PROD:
        account = evaluate(Tree(committed["artifacts"]), OPTIONAL_PARTS | BOOTSTRAP, PSEUDO)
        evaluated["artifacts"] = _rebuild_template(committed["artifacts"], account, "", values)
    return evaluated


def read_committed(folder: Path) -> dict[str, Template]:
    return {Path(name).stem: parse_template((folder / name).read_text(encoding="utf-8")) for name in render_files()}


def write_templates(templates: Mapping[str, Template], folder: Path) -> None:
    folder.mkdir()
    for name, template in templates.items():
        (folder / f"{name}.json").write_text(json.dumps(template, indent=1), encoding="utf-8")


def _rebuild_template(source: Template, stack: Evaluated, path: str, values: Mapping[str, str]) -> Template:
    """Turn an evaluated stack back into a template, because scanners follow references and read Metadata."""
    resources = {}
    for logical_id, resource in stack.resources.items():
        resources[logical_id] = {
            "Type": resource.type,
            "DeletionPolicy": resource.deletion_policy,
            "UpdateReplacePolicy": resource.update_replace_policy,
            "Properties": _restore_references(resource.properties, path, set(stack.resources)),
        }
        if metadata := source["Resources"][logical_id].get("Metadata"):
            resources[logical_id]["Metadata"] = _fill_placeholders(metadata, values)
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def _fill_placeholders(metadata: Any, values: Mapping[str, str]) -> Any:
    """Replace placeholders such as ``<Environment>``, because findings contain their values."""
    text = json.dumps(metadata)
    for name, value in values.items():
        text = text.replace(f"<{name}>", value)
    return json.loads(text)


def _restore_references(value: Any, path: str, logical_ids: set[str]) -> Any:
    """Turn tokens of this stack's resources back into references; tokens of other stacks stay text."""
    if isinstance(value, dict):
        return {key: _restore_references(item, path, logical_ids) for key, item in value.items()}
    if isinstance(value, list):
        return [_restore_references(item, path, logical_ids) for item in value]
    if not isinstance(value, str):
        return value

    def find_logical_id(match: re.Match[str]) -> str:
        name = match[1].removeprefix(path)
        return name if match[1] == f"{path}{name}" and name in logical_ids else ""

    if (match := TOKEN.fullmatch(value)) and (name := find_logical_id(match)):
        return {"Fn::GetAtt": [name, match[2].removeprefix(".")]} if match[2] else {"Ref": name}
    if (match := TOKEN.match(value)) and (name := find_logical_id(match)) and match[2]:
        return {"Fn::Join": ["", [{"Fn::GetAtt": [name, match[2].removeprefix(".")]}, value[match.end() :]]]}
    # A parameter is text; CloudFormation converts it for a numeric property.
    return int(value) if re.fullmatch("[0-9]{1,6}", value) else value
