"""What the pictures read of template documents, and how they call it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Template = dict[str, Any]
Resource = dict[str, Any]

# What a reader calls them; what is not here is not drawn.
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


def of_type(template: Template, kind: str) -> dict[str, Resource]:
    return {title: one for title, one in template["Resources"].items() if one["Type"] == kind}


def counted(types: Iterable[str]) -> str:
    """Such as "6 keys, 5 roles", in the order of ``NOUNS``."""
    numbers = Counter(types)
    many = {kind: numbers[kind] for kind in NOUNS if numbers[kind]}
    return ", ".join(NOUNS[kind][0] if n == 1 else f"{n} {NOUNS[kind][1]}" for kind, n in many.items())


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Each logical id that a value refers to, with the attribute; ``""`` for a ``Ref``."""
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


def children(documents: Mapping[str, Template]) -> dict[str, Resource]:
    """The nested stacks of the parent by title, in deployment order."""
    return of_type(documents["parent"], "AWS::CloudFormation::Stack")


def words(title: str) -> str:
    """``ValidationRole`` as a reader has it: ``validation role``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title).lower()


def resolved(documents: Mapping[str, Template], stack: str, name: str) -> Iterator[tuple[str, str]]:
    """The resources, by stack and logical id, that ``name`` in ``stack`` is or, as a parameter, is given of others."""
    template = documents[stack.lower()]
    if name in template["Resources"]:
        yield stack, name
        return
    stacks = children(documents)
    for giver, attribute in references(stacks[stack]["Properties"]["Parameters"].get(name)):
        if giver in stacks:
            output = documents[giver.lower()]["Outputs"][attribute.removeprefix("Outputs.")]
            for inner, _ in references(output["Value"]):
                yield from resolved(documents, giver, inner)
