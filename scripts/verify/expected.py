"""What has to be there: the committed templates with the settings filled in, by the ids that the stacks gave.

The settings, and not the parameters of the deployed stack, decide. Only the ids of resources come from the deployment.
"""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from scripts.common.evaluate import TOKEN, Evaluated, evaluate
from scripts.common.paths import TEMPLATES
from scripts.common.target import Target
from scripts.common.templates import STACK, Tree, parse_template
from scripts.deployer.stack import WORKERS, StackTree

FUNCTION = "AWS::Lambda::Function"


@dataclass(frozen=True)
class Expected:
    """A resource of the templates. ``physical_id`` is empty where the stack does not have it."""

    path: str
    type: str
    physical_id: str
    properties: dict[str, Any]

    @property
    def name(self) -> str:
        """What people call it: the last part of its id."""
        return re.split(r"[/:]", self.physical_id)[-1] or self.path


@dataclass(frozen=True)
class Actual:
    """A resource of a deployed stack."""

    type: str
    physical_id: str


def resources(parameters: Mapping[str, str], target: Target, tree: StackTree) -> dict[str, Expected]:
    """By path, such as ``Data/Transactions``; references between resources are replaced by physical ids and ARNs."""
    return _resources(committed_tree(), parameters, target, tree)


def account_resources(parameters: Mapping[str, str], target: Target, tree: StackTree) -> dict[str, Expected]:
    """Those of the stack that the environments of an account share, by logical id."""
    template = Tree(parse_template((TEMPLATES / "artifacts.yaml").read_text(encoding="utf-8")))
    return _resources(template, parameters, target, tree)


def _resources(templates: Tree, parameters: Mapping[str, str], target: Target, tree: StackTree) -> dict[str, Expected]:
    pseudo = target.pseudo_parameters()
    evaluated = evaluate(templates, parameters, pseudo)
    deployed = deployed_resources(target.client("cloudformation"), tree)
    declared = {path: resource for path, resource in _flat(evaluated, "") if resource.type != STACK}
    resources_by_path = {}
    for path, resource in declared.items():
        physical_id = deployed[path].physical_id if path in deployed else ""
        properties = _resolved(resource.properties, deployed, pseudo)
        resources_by_path[path] = Expected(path, resource.type, physical_id, properties)
    return {path: _as_packaged(resource, target) for path, resource in resources_by_path.items()}


def committed_tree() -> Tree:
    """The templates of this checkout."""
    parent = parse_template((TEMPLATES / "parent.yaml").read_text(encoding="utf-8"))
    nested = {
        title: Tree(parse_template((TEMPLATES / stack["Properties"]["TemplateURL"]).read_text(encoding="utf-8")))
        for title, stack in parent["Resources"].items()
        if stack["Type"] == STACK
    }
    return Tree(parent, nested)


def deployed_resources(cloudformation: Any, tree: StackTree) -> dict[str, Actual]:
    """What the stacks of ``tree`` consist of, by path."""

    def read(stack_id: str) -> list[Any]:
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id)
        return [summary for page in pages for summary in page["StackResourceSummaries"]]

    walked = list(tree.walk())
    with ThreadPoolExecutor(WORKERS) as pool:
        summaries = list(pool.map(lambda stack: read(stack[1].id), walked))
    return {
        f"{path}/{summary['LogicalResourceId']}" if path else summary["LogicalResourceId"]: Actual(
            summary["ResourceType"], summary.get("PhysicalResourceId", "")
        )
        for (path, _), listed in zip(walked, summaries, strict=True)
        for summary in listed
        if summary["ResourceStatus"] != "DELETE_COMPLETE"
    }


def _flat(stack: Evaluated, path: str) -> list[tuple[str, Any]]:
    below = [pair for title, child in stack.nested.items() for pair in _flat(child, f"{path}{title}/")]
    return [*((f"{path}{title}", resource) for title, resource in stack.resources.items()), *below]


def _resolved(value: Any, deployed: Mapping[str, Actual], pseudo: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(item, deployed, pseudo) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, deployed, pseudo) for item in value]
    if not isinstance(value, str):
        return value

    def physical(match: re.Match[str]) -> str:
        path, attribute = match[1], match[2].removeprefix(".")
        # What is written like a token and names no resource is a variable of the state machine's definition.
        return attribute_of(deployed[path], attribute, pseudo) if path in deployed else match[0]

    return TOKEN.sub(physical, value)


def attribute_of(resource: Actual, attribute: str, pseudo: Mapping[str, str]) -> str:
    """What ``Ref`` (an empty ``attribute``) or ``Fn::GetAtt`` gives for a resource of the templates.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
    """
    if not attribute:
        return resource.physical_id
    name = re.split(r"[/:]", resource.physical_id)[-1]
    if attribute in ("QueueName", "TopicName", "Name", "Version"):
        return name
    if resource.physical_id.startswith("arn:"):
        return resource.physical_id
    if resource.type == "AWS::S3::Bucket":
        return f"arn:{pseudo['AWS::Partition']}:s3:::{resource.physical_id}"
    service, kind = _ARNS.get(resource.type, ("", ""))
    regional = "" if service == "iam" else pseudo["AWS::Region"]
    end = ":*" if resource.type == "AWS::Logs::LogGroup" else ""
    # The name of a log group is a path.
    name = resource.physical_id if service == "logs" else name
    return f"arn:{pseudo['AWS::Partition']}:{service}:{regional}:{pseudo['AWS::AccountId']}:{kind}{name}{end}"


_ARNS = {
    "AWS::DynamoDB::Table": ("dynamodb", "table/"),
    "AWS::Events::Rule": ("events", "rule/"),
    "AWS::IAM::Role": ("iam", "role/"),
    "AWS::KMS::Key": ("kms", "key/"),
    FUNCTION: ("lambda", "function:"),
    "AWS::Logs::LogGroup": ("logs", "log-group:"),
    "AWS::SQS::Queue": ("sqs", ""),
    "AWS::CloudWatch::Alarm": ("cloudwatch", "alarm:"),
}


def _as_packaged(resource: Expected, target: Target) -> Expected:
    """A function as the deployer packages it for this target."""
    if resource.type != FUNCTION or target.runtime is None:
        return resource
    return replace(resource, properties=resource.properties | target.runtime.properties)
