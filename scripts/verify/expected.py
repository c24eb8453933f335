"""The expected resources: the committed templates, evaluated with the settings, not with the deployed parameters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.common.evaluate import evaluate
from scripts.common.evaluated import TOKEN
from scripts.common.paths import TEMPLATES
from scripts.common.target import Target
from scripts.common.templates import STACK, Tree, read_tree_from_folder
from scripts.deployer.preflight.name_lookups import make_arn
from scripts.deployer.stack import StackResource, StackTree

FUNCTION, VERSION = "AWS::Lambda::Function", "AWS::Lambda::Version"


@dataclass(frozen=True)
class Expected:
    """A resource of the templates. ``physical_id`` is empty if the stack does not have it."""

    path: str
    type: str
    physical_id: str
    properties: dict[str, Any]

    @property
    def name(self) -> str:
        """The last part of the physical id, or the path if there is none."""
        return re.split(r"[/:]", self.physical_id)[-1] or self.path


def expected_resources(parameters: Mapping[str, str], target: Target, tree: StackTree) -> dict[str, Expected]:
    """Return the resources by path, such as ``Data/Transactions``; references are resolved to ids and ARNs."""
    return _evaluate_resources(read_tree_from_folder(TEMPLATES, "parent.yaml"), parameters, target, tree)


def expected_account_resources(parameters: Mapping[str, str], target: Target, tree: StackTree) -> dict[str, Expected]:
    """Return, by logical id, the resources of the stack that all environments of an account share."""
    return _evaluate_resources(read_tree_from_folder(TEMPLATES, "artifacts.yaml"), parameters, target, tree)


def _evaluate_resources(
    templates: Tree, parameters: Mapping[str, str], target: Target, tree: StackTree
) -> dict[str, Expected]:
    pseudo = target.pseudo_parameters()
    evaluated = evaluate(templates, parameters, pseudo)
    deployed = {path: resource for path, resource in tree.walk_resources() if resource.status != "DELETE_COMPLETE"}
    resources = {}
    for path, resource in evaluated.walk():
        if resource.type == STACK:
            continue
        properties = resolve_references(resource.properties, deployed, pseudo)
        if resource.type == FUNCTION and target.runtime is not None:
            properties |= target.runtime.properties  # as the deployer packages it for this target
        if resource.type == VERSION and target.runtime is not None:
            properties["Description"] = target.runtime.extend_digest(properties["Description"])
        physical_id = deployed[path].physical_id if path in deployed else ""
        resources[path] = Expected(path, resource.type, physical_id, properties)
    return resources


def resolve_references(value: Any, deployed: Mapping[str, StackResource], pseudo: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: resolve_references(item, deployed, pseudo) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve_references(item, deployed, pseudo) for item in value]
    if not isinstance(value, str):
        return value

    def resolve_token(match: re.Match[str]) -> str:
        path, attribute = match[1], match[2].removeprefix(".")
        # Any other token is a variable of the state machine's definition.
        return resolve_attribute(deployed[path], attribute, pseudo) if path in deployed else match[0]

    return TOKEN.sub(resolve_token, value)


def resolve_attribute(resource: StackResource, attribute: str, pseudo: Mapping[str, str]) -> str:
    """Return the value of ``Ref`` (an empty ``attribute``) or ``Fn::GetAtt`` for a resource of the templates.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
    """
    if not attribute:
        return resource.physical_id
    name = re.split(r"[/:]", resource.physical_id)[-1]
    if attribute in ("QueueName", "TopicName", "Name", "Version"):
        return name
    if resource.physical_id.startswith("arn:"):
        return resource.physical_id
    if resource.type == "AWS::KMS::Key":
        return make_arn("AWS::KMS::Alias", f"key/{name}", pseudo)
    if resource.type == "AWS::Logs::LogGroup":
        # Its name contains slashes.
        return make_arn(resource.type, f"{resource.physical_id}:*", pseudo)
    return make_arn(resource.type, name, pseudo)
