"""Reads template documents for the pictures, and names what is in them."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Template = dict[str, Any]
Resource = dict[str, Any]

# How the pictures call a resource type; a type that is not here is not counted.
NOUNS = {
    "AWS::KMS::Key": ("key", "keys"),
    "AWS::IAM::Role": ("role", "roles"),
    "AWS::DynamoDB::Table": ("table", "tables"),
    "AWS::SQS::Queue": ("queue", "queues"),
    "AWS::SNS::Topic": ("topic", "topics"),
    "AWS::Backup::BackupVault": ("vault", "vaults"),
    "AWS::Lambda::Function": ("function", "functions"),
    "AWS::Lambda::Alias": ("alias", "aliases"),
    "AWS::Events::Rule": ("schedule", "schedules"),
    "AWS::Logs::LogGroup": ("log", "logs"),
    "AWS::StepFunctions::StateMachine": ("state machine", "state machines"),
    "AWS::CloudWatch::Alarm": ("alarm", "alarms"),
    "AWS::CloudWatch::Dashboard": ("dashboard", "dashboards"),
}


def complete(documents: Mapping[str, Template]) -> dict[str, Template]:
    """Return the documents with ``Properties`` in each resource, because a template may omit them."""
    return {
        name: document
        | {"Resources": {title: {"Properties": {}} | resource for title, resource in document["Resources"].items()}}
        for name, document in documents.items()
    }


def of_type(template: Template, kind: str) -> dict[str, Resource]:
    return {title: resource for title, resource in template["Resources"].items() if resource["Type"] == kind}


def count_by_noun(resources: Iterable[Resource]) -> str:
    """Return, for example, "6 keys, 5 roles", in the order of ``NOUNS``."""
    numbers = Counter(resource["Type"] for resource in resources)
    counts = {kind: numbers[kind] for kind in NOUNS if numbers[kind]}
    return ", ".join(NOUNS[kind][0] if count == 1 else f"{count} {NOUNS[kind][1]}" for kind, count in counts.items())


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Yield each logical id that a value refers to, with the attribute, which is empty for a ``Ref``."""
    match value:
        case {"Ref": str(name)}:
            yield name, ""
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            yield name, attribute
        case {"Fn::Sub": str(text)}:
            for name, attribute in re.findall(r"\$\{([A-Za-z0-9]+)(?:\.([A-Za-z.]+))?\}", text):
                yield name, attribute
        case dict():
            for item in value.values():
                yield from references(item)
        case list():
            for item in value:
                yield from references(item)


def list_children(documents: Mapping[str, Template]) -> dict[str, Resource]:
    """Return the parent's nested stacks that stacks/ builds, by title, in the order of their deployment."""
    stacks = of_type(documents["parent"], "AWS::CloudFormation::Stack")
    return {title: stack for title, stack in stacks.items() if title.lower() in documents}


def words(title: str) -> str:
    """Return ``validation role`` for ``ValidationRole``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title).lower()


def resolve_reference(documents: Mapping[str, Template], stack: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield stack and logical id of each resource behind a name, following a parameter to the output behind it."""
    template = documents[stack.lower()]
    if name in template["Resources"]:
        yield stack, name
        return
    stacks = list_children(documents)
    for giver, attribute in references(stacks[stack]["Properties"].get("Parameters", {}).get(name)):
        if giver in stacks:
            outputs = documents[giver.lower()].get("Outputs", {})
            for source, _ in references(outputs.get(attribute.removeprefix("Outputs."))):
                yield from resolve_reference(documents, giver, source)
