"""Who may do what to which resource: the policies of the roles, and what resources allow services of AWS."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import svg as draw
from .templates import Resource, Template, children, of_type, references, words

ROLES_STACK = "Security"
# What CloudFormation calls the property that has a resource's name.
NAMES = ("TableName", "QueueName", "TopicName", "FunctionName", "LogGroupName", "BackupVaultName", "StateMachineName")
OUTSIDE = "beyond the platform"
SERVICES = "AWS services"
READING = re.compile(r"\w+:(Get|Query|Describe|List|Read)")
COLOURS = {"reads": "#ddf4ff", "writes": "#ffeccc", "invokes": "#dcf5e3", "uses the key": "#eee5ff"}
SERVICE_NAMES = {"delivery.logs": "log delivery", "logs": "logs"}
# What knows no resource.
ANY = {"logs": "delivery of logs", "xray": "X-Ray traces"}


class Thing(NamedTuple):
    """A resource by stack and logical id; of what the platform has not made, by ``OUTSIDE`` and a name."""

    stack: str
    name: str


class Grant(NamedTuple):
    who: str
    thing: Thing
    action: str


def grants(documents: Mapping[str, Template]) -> list[Grant]:
    """What the platform's roles may do, in the order of the policies."""
    security = documents[ROLES_STACK.lower()]
    named = _named(documents)
    found: dict[Grant, None] = {}
    for role, properties in of_type(security, "AWS::IAM::Role").items():
        for policy, _ in references(properties["Properties"]["ManagedPolicyArns"]):
            if policy in security["Resources"]:
                for statement in _statements(security["Resources"][policy]["Properties"]["PolicyDocument"]):
                    for resource in statement["Resource"]:
                        for action in statement["Action"]:
                            found[Grant(role, _thing(resource, action, named, security), action)] = None
    return list(found)


def services(documents: Mapping[str, Template]) -> list[Grant]:
    """What keys, queues, topics and functions allow services of AWS."""
    found: dict[Grant, None] = {}
    for stack in children(documents):
        resources = documents[stack.lower()]["Resources"]
        for title, one in resources.items():
            properties = one["Properties"]
            if one["Type"] == "AWS::Lambda::Permission":
                (target, _), *_ = references(properties["FunctionName"])
                function = next(name for name, _ in references(resources[target]["Properties"]["FunctionName"]))
                found[Grant(_service(properties["Principal"]), Thing(stack, function), properties["Action"])] = None
            for statement in _statements(properties.get("KeyPolicy", {})):
                for who in _services_in(statement):
                    found |= {Grant(who, Thing(stack, title), action): None for action in statement["Action"]}
            if one["Type"] in ("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy"):
                for statement in _statements(properties["PolicyDocument"]):
                    for who in _services_in(statement):
                        for target, _ in references(statement["Resource"]):
                            found |= {Grant(who, Thing(stack, target), action): None for action in statement["Action"]}
    return list(found)


def section() -> list[str]:
    return [
        "What is empty is refused. A key is used only as a condition says (by which service, for what): see",
        "[`role_policies.py`](../stacks/security/role_policies.py) and",
        "[`key_policies.py`](../stacks/security/key_policies.py). Shown with everything switched on: backups,",
        "a gateway with a secret, and a key of the workflow's own.",
        "",
        "![A matrix of resources and roles](access.svg)",
    ]


LABEL, COLUMN, LINE, SIZE, HEAD = 158.0, 126.0, 14.0, 11.0, 64.0


def svg(documents: Mapping[str, Template]) -> str:
    """Rows are resources by stack, columns roles; each cell has the actions."""
    roles = list(of_type(documents[ROLES_STACK.lower()], "AWS::IAM::Role"))
    by_role, by_service = grants(documents), services(documents)
    cells: dict[tuple[Thing, str], list[str]] = {}
    kinds: dict[tuple[Thing, str], list[str]] = {}
    for grant in by_role:
        cells.setdefault((grant.thing, grant.who), []).append(grant.action.partition(":")[2])
        kinds.setdefault((grant.thing, grant.who), []).append(grant.action)
    for grant in by_service:
        shown = cells.setdefault((grant.thing, SERVICES), [])
        if f"{grant.who}:" not in shown:
            shown.append(f"{grant.who}:")
        shown.append(grant.action.partition(":")[2])
        kinds.setdefault((grant.thing, SERVICES), []).append(grant.action)
    columns = [*roles, SERVICES]
    width = LABEL + COLUMN * len(columns) + 12
    elements = _legend()
    for number, column in enumerate(columns):
        name = column.removesuffix("Role") if column != SERVICES else column
        middle = LABEL + COLUMN * (number + 0.5)
        elements.append(draw.text(middle, HEAD - 10, name, 13, text_anchor="middle", font_weight=600))
    y = HEAD
    things = list(dict.fromkeys(grant.thing for grant in (*by_role, *by_service)))
    for stack in (*children(documents), OUTSIDE):
        rows = (
            [thing for thing in _ordered(documents, stack) if thing in things]
            if stack != OUTSIDE
            else [thing for thing in things if thing.stack == OUTSIDE]
        )
        if not rows:
            continue
        elements += [
            draw.rect(1, y, width - 2, 20, fill="#f6f8fa"),
            draw.text(12, y + 14, stack, 11, fill=draw.FAINT, font_weight=600),
        ]
        y += 20
        for thing in rows:
            lines = {column: _lines(cells.get((thing, column), [])) for column in columns}
            height = max(len(shown) for shown in lines.values()) * LINE + 10
            elements.append(draw.text(12, y + height / 2 + 4, _label(thing), 12))
            for number, column in enumerate(columns):
                if lines[column]:
                    x = LABEL + COLUMN * number
                    fill = COLOURS[_kind(kinds[thing, column])]
                    elements.append(draw.rect(x + 3, y + 2, COLUMN - 6, height - 4, fill=fill, rx=4))
                    top = y + (height - LINE * len(lines[column])) / 2 + SIZE
                    elements += [
                        draw.text(x + COLUMN / 2, top + LINE * n, shown, SIZE, text_anchor="middle")
                        for n, shown in enumerate(lines[column])
                    ]
            y += height
            elements.append(draw.line(1, y, width - 1, y))
    return draw.card(width, y + 8, "Who may do what to which resource", elements)


def _legend() -> list[str]:
    elements = []
    x = 12.0
    for meaning, colour in COLOURS.items():
        elements += [draw.rect(x, 12, 12, 12, fill=colour, rx=3), draw.text(x + 17, 22, meaning, 11, fill=draw.FAINT)]
        x += 17 + len(meaning) * 6.2 + 18
    return elements


def _lines(actions: list[str]) -> list[str]:
    return actions if len(actions) <= 4 else [*actions[:3], f"and {len(actions) - 3} more"]


def _kind(actions: list[str]) -> str:
    if all(action.startswith("kms:") for action in actions):
        return "uses the key"
    if any(action == "lambda:InvokeFunction" for action in actions):
        return "invokes"
    return "reads" if all(map(READING.match, actions)) else "writes"


def _label(thing: Thing) -> str:
    return words(thing.name) if thing.stack != OUTSIDE else thing.name


def _ordered(documents: Mapping[str, Template], stack: str) -> list[Thing]:
    return [Thing(stack, title) for title in documents[stack.lower()]["Resources"]]


def _statements(document: Any) -> Iterator[Resource]:
    """The allowing statements of a policy document, of whichever branch of a condition."""
    if "Statement" in document:
        yield from (statement for statement in document["Statement"] if statement["Effect"] == "Allow")
    elif "Fn::If" in document:
        for branch in document["Fn::If"][1:]:
            yield from _statements(branch)


def _named(documents: Mapping[str, Template]) -> dict[str, Thing]:
    """Resources by the name that ARNs have of them; longest first, so that none is taken for another's beginning."""
    found = {}
    for stack in children(documents):
        for title, one in documents[stack.lower()]["Resources"].items():
            for name in NAMES:
                match one["Properties"].get(name):
                    case {"Fn::Sub": str(text)}:
                        found[text] = Thing(stack, title)
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def _thing(resource: Any, action: str, named: Mapping[str, Thing], security: Template) -> Thing:
    match resource:
        case {"Fn::Sub": str(arn)}:
            return next(thing for name, thing in named.items() if name in arn)
        case "*":
            service = action.partition(":")[0]
            return Thing(OUTSIDE, ANY.get(service, f"any ({service})"))
    ((name, _),) = references(resource)
    if name in security["Resources"]:
        return Thing(ROLES_STACK, name)
    return Thing(OUTSIDE, words(name.removesuffix("Arn")))


def _services_in(statement: Resource) -> list[str]:
    principal = statement["Principal"]
    return [_service(principal["Service"])] if isinstance(principal, dict) and "Service" in principal else []


def _service(principal: Any) -> str:
    """``cloudwatch.amazonaws.com``, or with the region in it, by its name."""
    text: str = principal["Fn::Sub"] if isinstance(principal, dict) else principal
    name = text.replace(".amazonaws.com", "").partition(".${")[0]
    return SERVICE_NAMES.get(name, name)
