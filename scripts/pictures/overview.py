"""The platform at a glance: what a payment passes, and what each part does to the others, as the policies grant it."""

import re
from collections.abc import Iterator, Mapping

from .access import OUTSIDE, Target, list_role_grants
from .mermaid import class_of, draw_block
from .templates import Template, count_by_noun, list_children, of_type, references, resolve_reference, words

# Type, the property that names its role, and how it is drawn.
ACTORS = {
    "AWS::StepFunctions::StateMachine": ("RoleArn", "Step Functions", '[["{}"]]'),
    "AWS::Lambda::Function": ("Role", "Lambda", '["{}"]'),
}
STORES = {
    "AWS::DynamoDB::Table": ("DynamoDB", '[("{}")]'),
    "AWS::SQS::Queue": ("SQS", '[/"{}"/]'),
    "AWS::SNS::Topic": ("SNS", '{{{{"{}"}}}}'),
}
VERBS = {
    "lambda:InvokeFunction": "invokes",
    "dynamodb:GetItem": "reads",
    "dynamodb:Query": "reads",
    "dynamodb:PutItem": "writes",
    "sqs:SendMessage": "dead letters",
    "sns:Publish": "notices",
}
# A role that may read the gateway's secret calls the gateway.
GATEWAY = Target(OUTSIDE, "gateway secret")
# Less space than the default: GitHub's column is narrow.
CLOSE = '%%{init: {"flowchart": {"nodeSpacing": 24, "rankSpacing": 44}}}%%\n'
DRAWN_STACKS = ("Workflow", "Compute", "Data", "Monitoring")


def draw_diagram(documents: Mapping[str, Template]) -> str:
    lines = ["%% Drawn by `python3 generate.py`; never edited by hand.", "payment([a payment]) --> PaymentWorkflow"]
    for stack in list_children(documents):
        if stack in DRAWN_STACKS:
            lines += [f'subgraph {stack}["{stack}"]', *_draw_boxes(documents, stack), "end"]
    security = documents["security"]["Resources"].values()
    lines += [
        'subgraph Security["Security"]',
        f'  Keys["{count_by_noun(security)}"]',
        "end",
        "gateway([payment gateway])",
        "people([subscribers])",
        *(f'{a} -->|"{label}"| {b}' for (a, b), label in _list_arrows(documents).items()),
        "Notifications --> people",
        "Alarms --> Notifications",
        # This only places them: arrows from the keys and roles to everything would say nothing.
        "Keys ~~~ Alarms",
    ]
    lines += class_of("outside", ("payment", "gateway", "people"))
    lines += class_of("store", dict.fromkeys(_boxes_of_stores(documents).values()))
    return draw_block(CLOSE + "flowchart TB", lines)


def _draw_boxes(documents: Mapping[str, Template], stack: str) -> Iterator[str]:
    template = documents[stack.lower()]
    actors = set(_actors_by_role(documents).values())
    for kind, (_, service, shape) in ACTORS.items():
        for title in filter(actors.__contains__, of_type(template, kind)):
            label = f"<b>{words(title.removesuffix('Function'))}</b><br/>{service}"
            yield f"  {title}" + shape.format(label + _describe_schedule(template, title))
    for kind, (service, shape) in STORES.items():
        if titles := list(of_type(template, kind)):
            yield f"  {titles[0]}" + shape.format(f"<b>{'<br/>'.join(map(words, titles))}</b><br/>{service}")
    if of_type(template, "AWS::CloudWatch::Alarm"):
        yield f'  Alarms["{count_by_noun(template["Resources"].values())}"]'


def _list_arrows(documents: Mapping[str, Template]) -> dict[tuple[str, str], str]:
    """Return the label of each arrow by its ends; what all functions of a stack do is one arrow, from the stack."""
    actors, stores = _actors_by_role(documents), _boxes_of_stores(documents)
    verbs: dict[tuple[str, str], set[str]] = {}
    for grant in list_role_grants(documents):
        if grant.target == GATEWAY:
            end, verb = "gateway", "asks"
        elif grant.action in VERBS and grant.target.stack != OUTSIDE:
            end, verb = stores.get(grant.target.name, grant.target.name), VERBS[grant.action]
        else:
            continue
        if grant.grantee in actors:
            verbs.setdefault((actors[grant.grantee], end), set()).add(verb)
    verbs = _join_arrows_of_functions(documents, verbs)
    return {arrow: ", ".join(sorted(label)) for arrow, label in verbs.items()}


def _join_arrows_of_functions(
    documents: Mapping[str, Template], verbs: dict[tuple[str, str], set[str]]
) -> dict[tuple[str, str], set[str]]:
    """Replace the arrows that all functions of a stack share by one from the stack."""
    for stack in list_children(documents):
        functions = list(of_type(documents[stack.lower()], "AWS::Lambda::Function"))
        for end in dict.fromkeys(end for _, end in verbs) if functions else ():
            first, *remaining = (verbs.get((function, end)) for function in functions)
            if first and all(verbs_of_function == first for verbs_of_function in remaining):
                verbs = {arrow: label for arrow, label in verbs.items() if arrow[0] not in functions or arrow[1] != end}
                verbs[stack, end] = first
    return verbs


def _boxes_of_stores(documents: Mapping[str, Template]) -> dict[str, str]:
    """Return the box of each store by logical id; a box holds all stores of a type and has the first one's name."""
    boxes: dict[str, str] = {}
    for stack in list_children(documents):
        for kind in STORES:
            titles = list(of_type(documents[stack.lower()], kind))
            boxes |= dict.fromkeys(titles, titles[0] if titles else "")
    return boxes


def _actors_by_role(documents: Mapping[str, Template]) -> dict[str, str]:
    """Return the function or state machine of each role: of two with the same role, which do the same, the first."""
    actors: dict[str, str] = {}
    for stack in list_children(documents):
        for kind, (property_name, _, _) in ACTORS.items():
            for title, actor in of_type(documents[stack.lower()], kind).items():
                for name, _ in references(actor["Properties"].get(property_name)):
                    for _, role in resolve_reference(documents, stack, name):
                        actors.setdefault(role, title)
    return actors


def _describe_schedule(template: Template, function: str) -> str:
    """Return a line such as "every 5 minutes"; empty for a function without a schedule."""
    stem = function.removesuffix("Function")
    for title, rule in of_type(template, "AWS::Events::Rule").items():
        rate = re.fullmatch(r"rate\((.*)\)", str(rule["Properties"].get("ScheduleExpression")))
        if title.startswith(stem) and rate:
            return f"<br/>every {rate[1]}"
    return ""
