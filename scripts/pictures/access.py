"""Who may do what to which resource: the policies of the roles, and what resources allow services of AWS."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from . import svg as draw
from .templates import Resource, Template, list_children, of_type, references, words

ROLES_STACK = "Security"
# What CloudFormation calls the property with a resource's name.
NAMES = ("TableName", "QueueName", "TopicName", "FunctionName", "LogGroupName", "BackupVaultName", "StateMachineName")
OUTSIDE = "beyond the platform"
SERVICES = "AWS services"
READING = re.compile(r"\w+:(Get|Query|Describe|List|Read)")
COLOURS = {"reads": "#ddf4ff", "writes": "#ffeccc", "invokes": "#dcf5e3", "uses the key": "#eee5ff"}
SERVICE_NAMES = {"delivery.logs": "log delivery", "logs": "logs"}
# Actions that have no resource, by service.
WITHOUT_RESOURCE = {"logs": "delivery of logs", "xray": "X-Ray traces"}


class Target(NamedTuple):
    """A resource, by stack and logical id; outside the platform, by ``OUTSIDE`` and a name."""

    stack: str
    name: str


class Grant(NamedTuple):
    """``grantee`` is a role's logical id, or a service's name."""

    grantee: str
    target: Target
    action: str


def list_role_grants(documents: Mapping[str, Template]) -> list[Grant]:
    """Return what the platform's roles may do, in the order of the policies."""
    security = documents[ROLES_STACK.lower()]
    policies = of_type(security, "AWS::IAM::ManagedPolicy")
    targets = _targets_by_name(documents)
    grants = [
        Grant(role, _target_of(resource, action, targets, security), action)
        for role, properties in of_type(security, "AWS::IAM::Role").items()
        for policy, _ in references(properties["Properties"].get("ManagedPolicyArns"))
        if policy in policies
        for statement in _allowing_statements(policies[policy]["Properties"].get("PolicyDocument"))
        for resource in _list_values(statement.get("Resource"))
        for action in _list_actions(statement)
    ]
    return list(dict.fromkeys(grants))


def list_service_grants(documents: Mapping[str, Template]) -> list[Grant]:
    """Return what keys, queues, topics and functions allow services of AWS."""
    grants: list[Grant] = []
    for stack in list_children(documents):
        resources = documents[stack.lower()]["Resources"]
        for logical_id, resource in resources.items():
            properties = resource["Properties"]
            match resource["Type"]:
                case "AWS::Lambda::Permission":
                    # A permission is on an alias, which refers to its function.
                    for alias, _ in references(properties.get("FunctionName")):
                        function = resources.get(alias, resource)["Properties"].get("FunctionName")
                        for name, _ in list(references(function))[:1]:
                            service = _service_name(properties.get("Principal", ""))
                            grants.append(Grant(service, Target(stack, name), str(properties.get("Action"))))
                case "AWS::KMS::Key":
                    grants += _grants_to_services(properties.get("KeyPolicy"), stack, [logical_id])
                case "AWS::SQS::QueuePolicy" | "AWS::SNS::TopicPolicy":
                    grants += _grants_to_services(properties.get("PolicyDocument"), stack)
    return list(dict.fromkeys(grants))


def _grants_to_services(document: Any, stack: str, logical_ids: list[str] | None = None) -> Iterator[Grant]:
    """Yield the grants of a resource policy, on ``logical_ids`` or on the resources that its statements name."""
    for statement in _allowing_statements(document):
        principal = statement.get("Principal")
        services = _list_values(principal.get("Service")) if isinstance(principal, dict) else ()
        targets = logical_ids or [name for name, _ in references(statement.get("Resource"))]
        for service in services:
            for name in targets:
                for action in _list_actions(statement):
                    yield Grant(_service_name(service), Target(stack, name), action)


def draw_section() -> list[str]:
    return [
        "What is empty is refused. A key is used only as a condition says (by which service, for what): see",
        "[`role_policies.py`](../stacks/security/role_policies.py) and",
        "[`key_policies.py`](../stacks/security/key_policies.py). Shown with everything switched on: backups,",
        "a gateway with a secret, and a key of the workflow's own.",
        "",
        "![A matrix of resources and roles](access.svg)",
    ]


LABEL, COLUMN, LINE, SIZE, HEAD = 158.0, 126.0, 14.0, 11.0, 64.0


class Cell(NamedTuple):
    """The text of a cell in the matrix, and the actions that decide its colour."""

    lines: list[str]
    actions: list[str]


Cells = dict[tuple[Target, str], Cell]


def draw_svg(documents: Mapping[str, Template]) -> str:
    """Draw a row for each resource, by stack, and a column for each role; the cells list the actions."""
    columns = [*of_type(documents[ROLES_STACK.lower()], "AWS::IAM::Role"), SERVICES]
    cells = _fill_cells(documents)
    width = LABEL + COLUMN * len(columns) + 12
    elements = _draw_legend()
    for number, column in enumerate(columns):
        name = column.removesuffix("Role") if column != SERVICES else column
        middle = LABEL + COLUMN * (number + 0.5)
        elements.append(draw.text(middle, HEAD - 10, name, 13, text_anchor="middle", font_weight=600))
    y = HEAD
    targets = list(dict.fromkeys(target for target, _ in cells))
    for stack in (*list_children(documents), OUTSIDE):
        order = list(documents[stack.lower()]["Resources"]) if stack != OUTSIDE else [target.name for target in targets]
        rows = sorted(
            (target for target in targets if target.stack == stack and target.name in order),
            key=lambda target: order.index(target.name),
        )
        if not rows:
            continue
        elements += [
            draw.rect(1, y, width - 2, 20, fill="#f6f8fa"),
            draw.text(12, y + 14, stack, 11, fill=draw.FAINT, font_weight=600),
        ]
        y += 20
        for target in rows:
            row = [cells.get((target, column), Cell([], [])) for column in columns]
            height = max(len(cell.lines) for cell in row) * LINE + 10
            elements.append(draw.text(12, y + height / 2 + 4, _label(target), 12))
            for number, cell in enumerate(row):
                elements += _draw_cell(cell, LABEL + COLUMN * number, y, height)
            y += height
            elements.append(draw.line(1, y, width - 1, y))
    return draw.card(width, y + 8, "Who may do what to which resource", elements)


def _fill_cells(documents: Mapping[str, Template]) -> Cells:
    cells: Cells = {}
    for grant in list_role_grants(documents):
        cell = cells.setdefault((grant.target, grant.grantee), Cell([], []))
        cell.lines.append(grant.action.partition(":")[2])
        cell.actions.append(grant.action)
    for grant in list_service_grants(documents):
        cell = cells.setdefault((grant.target, SERVICES), Cell([], []))
        if f"{grant.grantee}:" not in cell.lines:
            cell.lines.append(f"{grant.grantee}:")
        cell.lines.append(grant.action.partition(":")[2])
        cell.actions.append(grant.action)
    return {
        place: Cell(lines if len(lines) <= 4 else [*lines[:3], f"and {len(lines) - 3} more"], actions)
        for place, (lines, actions) in cells.items()
    }


def _draw_cell(cell: Cell, x: float, y: float, height: float) -> Iterator[str]:
    if cell.lines:
        yield draw.rect(x + 3, y + 2, COLUMN - 6, height - 4, fill=COLOURS[_kind(cell.actions)], rx=4)
        top = y + (height - LINE * len(cell.lines)) / 2 + SIZE
        for number, line in enumerate(cell.lines):
            yield draw.text(x + COLUMN / 2, top + LINE * number, line, SIZE, text_anchor="middle")


def _draw_legend() -> list[str]:
    elements = []
    x = 12.0
    for meaning, colour in COLOURS.items():
        elements += [draw.rect(x, 12, 12, 12, fill=colour, rx=3), draw.text(x + 17, 22, meaning, 11, fill=draw.FAINT)]
        x += 17 + len(meaning) * 6.2 + 18
    return elements


def _kind(actions: list[str]) -> str:
    if all(action.startswith("kms:") for action in actions):
        return "uses the key"
    if any(action == "lambda:InvokeFunction" for action in actions):
        return "invokes"
    return "reads" if all(map(READING.match, actions)) else "writes"


def _label(target: Target) -> str:
    return words(target.name) if target.stack != OUTSIDE else target.name


def _list_values(value: Any) -> Iterator[Any]:
    """Yield the values of a list, or the only one, which IAM accepts without a list, in each branch of a condition."""
    match value:
        case None:
            return
        case list():
            for item in value:
                yield from _list_values(item)
        case {"Fn::If": [_, *branches]}:
            yield from _list_values(branches)
        case _:
            yield value


def _list_actions(statement: Resource) -> list[str]:
    """Return the actions of a statement; one with ``NotAction`` has none."""
    return [action for action in _list_values(statement.get("Action")) if isinstance(action, str)]


def _allowing_statements(document: Any) -> Iterator[Resource]:
    """Yield the statements of a policy document that allow, in each branch of a condition."""
    for value in _list_values(document):
        match value:
            case {"Statement": statements}:
                yield from _allowing_statements(statements)
            case {"Effect": "Allow"}:
                yield value


def _targets_by_name(documents: Mapping[str, Template]) -> dict[str, Target]:
    """Return the resources by their names in ARNs, longest first, so that no name is found within a longer one."""
    targets = {}
    for stack in list_children(documents):
        for logical_id, resource in documents[stack.lower()]["Resources"].items():
            for name in NAMES:
                match resource["Properties"].get(name):
                    case {"Fn::Sub": str(text)}:
                        targets[text] = Target(stack, logical_id)
    return dict(sorted(targets.items(), key=lambda item: -len(item[0])))


def _target_of(resource: Any, action: str, targets: Mapping[str, Target], security: Template) -> Target:
    match resource:
        case {"Fn::Sub": str(arn)}:
            return next((target for name, target in targets.items() if name in arn), _outside(arn))
        case "*":
            service = action.partition(":")[0]
            return Target(OUTSIDE, WITHOUT_RESOURCE.get(service, f"any ({service})"))
    name = next((name for name, _ in references(resource)), str(resource))
    return (
        Target(ROLES_STACK, name) if name in security["Resources"] else Target(OUTSIDE, words(name.removesuffix("Arn")))
    )


def _outside(arn: str) -> Target:
    """Return a target outside the platform, named after the last part of its ARN."""
    return Target(OUTSIDE, re.split("[:/]", arn.replace("::", ""))[-1])


def _service_name(principal: Any) -> str:
    """Return ``cloudwatch`` for ``cloudwatch.amazonaws.com``, with or without a Region in it."""
    text = str(principal.get("Fn::Sub", "") if isinstance(principal, dict) else principal)
    name = text.replace(".amazonaws.com", "").partition(".${")[0]
    return SERVICE_NAMES.get(name, name)
