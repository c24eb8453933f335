"""The whole at a glance: what a payment passes, and what each part does to the others, as the policies grant it."""

import re
from collections.abc import Iterator, Mapping

from .access import Thing, grants
from .mermaid import block, class_of
from .templates import Template, children, counted, of_type, resolved, words

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
# Who has its key talks to it.
GATEWAY = Thing("beyond the platform", "gateway secret")
# Closer than is usual: GitHub's column is narrow.
CLOSE = '%%{init: {"flowchart": {"nodeSpacing": 24, "rankSpacing": 44}}}%%\n'
DRAWN = ("Workflow", "Compute", "Data", "Monitoring")


def diagram(documents: Mapping[str, Template]) -> str:
    lines = ["%% Drawn by `python generate.py`; never edited by hand.", "payment([a payment]) --> PaymentWorkflow"]
    for stack in children(documents):
        if stack in DRAWN:
            lines += [f'subgraph {stack}["{stack}"]', *_boxes(documents, stack), "end"]
    security = documents["security"]["Resources"].values()
    lines += [
        'subgraph Security["Security"]',
        f'  Keys["{counted(one["Type"] for one in security)}"]',
        "end",
        "gateway([payment gateway])",
        "people([subscribers])",
        *(f'{a} -->|"{label}"| {b}' for (a, b), label in _arrows(documents).items()),
        "Notifications --> people",
        "Alarms --> Notifications",
        # Only where they are put: an arrow from the keys and roles to all else would say nothing.
        "Keys ~~~ Alarms",
    ]
    lines += class_of("outside", ("payment", "gateway", "people"))
    lines += class_of("store", dict.fromkeys(_stores(documents).values()))
    return block(CLOSE + "flowchart TB", lines)


def _boxes(documents: Mapping[str, Template], stack: str) -> Iterator[str]:
    template = documents[stack.lower()]
    for kind, (_, service, shape) in ACTORS.items():
        for title in of_type(template, kind):
            what = f"{service}{_schedule(template, title)}"
            yield f"  {title}" + shape.format(f"<b>{words(title.removesuffix('Function'))}</b><br/>{what}")
    for kind, (service, shape) in STORES.items():
        if titles := list(of_type(template, kind)):
            yield f"  {titles[0]}" + shape.format(f"<b>{'<br/>'.join(map(words, titles))}</b><br/>{service}")
    if of_type(template, "AWS::CloudWatch::Alarm"):
        yield f'  Alarms["{counted(one["Type"] for one in template["Resources"].values())}"]'


def _arrows(documents: Mapping[str, Template]) -> dict[tuple[str, str], str]:
    """By its two ends what an arrow says; what all functions do alike is one, from their stack."""
    actors, stores = _actors(documents), _stores(documents)
    done: dict[tuple[str, str], set[str]] = {}
    for grant in grants(documents):
        if grant.thing == GATEWAY:
            target, verb = "gateway", "asks"
        elif grant.action in VERBS:
            target, verb = stores.get(grant.thing.name, grant.thing.name), VERBS[grant.action]
        else:
            continue
        if grant.who in actors:
            done.setdefault((actors[grant.who], target), set()).add(verb)
    for stack in children(documents):
        functions = list(of_type(documents[stack.lower()], "AWS::Lambda::Function"))
        for target in dict.fromkeys(target for _, target in done) if functions else ():
            alike = [done.get((function, target)) for function in functions]
            if (verbs := alike[0]) and all(one == verbs for one in alike):
                done = {(who, to): said for (who, to), said in done.items() if who not in functions or to != target}
                done[stack, target] = verbs
    return {ends: ", ".join(sorted(verbs)) for ends, verbs in done.items()}


def _stores(documents: Mapping[str, Template]) -> dict[str, str]:
    """By its logical id in which box each store is: one has all of a kind."""
    found: dict[str, str] = {}
    for stack in children(documents):
        for kind in STORES:
            titles = list(of_type(documents[stack.lower()], kind))
            found |= dict.fromkeys(titles, titles[0] if titles else "")
    return found


def _actors(documents: Mapping[str, Template]) -> dict[str, str]:
    """By its role whoever acts."""
    found: dict[str, str] = {}
    for stack in children(documents):
        for kind, (role, _, _) in ACTORS.items():
            for title, one in of_type(documents[stack.lower()], kind).items():
                for given in one["Properties"][role].values():
                    found |= {name: title for _, name in resolved(documents, stack, given)}
    return found


def _schedule(template: Template, function: str) -> str:
    """Such as "every 5 minutes", as another line."""
    stem = function.removesuffix("Function")
    for title, rule in of_type(template, "AWS::Events::Rule").items():
        if title.startswith(stem) and (rate := re.fullmatch(r"rate\((.*)\)", rule["Properties"]["ScheduleExpression"])):
            return f"<br/>every {rate[1]}"
    return ""
