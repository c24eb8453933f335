"""How the service lists the changes of one resource in a change set."""

import json
import re
from typing import Any

from tests.deployer.aws.stacks import STACK, Changes, Stack

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets-view.html
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
# What replaces a resource of the platform, as far as the tests change it.

REPLACED_BY = {
    "AWS::DynamoDB::Table": ("TableName", "KeySchema"),
    "AWS::SQS::Queue": ("QueueName",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::Lambda::Version": ("Description",),
    "AWS::CloudWatch::Alarm": ("AlarmName",),
}


def is_referred_to(value: Any, name: str, *, attributes: bool = False) -> bool:
    """Whether an expression refers to a resource or a parameter; or, of a resource, to its attributes only."""
    text = json.dumps(value)
    if f'"Fn::GetAtt": ["{name}"' in text or f"${{{name}." in text:
        return True
    return not attributes and (f'"Ref": "{name}"' in text or f"${{{name}}}" in text)


def describe_resource(action: str, logical_id: str, kind: str, details: Changes, **more: Any) -> dict[str, Any]:
    change = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind, "Details": details, **more}
    return {"Type": "Resource", "ResourceChange": change}


def describe_change(
    logical_id: str,
    old: dict[str, Any] | None,
    new: dict[str, Any] | None,
    before: Stack | None,
    after: Stack,
    changed: set[str],
    unknown: set[str],
    listed: set[str],
    replaced: set[str],
) -> dict[str, Any] | None:
    """What the service says of one resource."""
    if old is None and new is not None:
        return describe_resource("Add", logical_id, new["Type"], [])
    if new is None and old is not None:
        kept = str(old.get("DeletionPolicy", "Delete")).startswith("Retain")
        return describe_resource("Remove", logical_id, old["Type"], [], PolicyAction="Retain" if kept else "Delete")
    assert old is not None
    assert new is not None
    assert before is not None
    kind = new["Type"]
    replacing = REPLACED_BY.get(kind, ())
    details, replacement = [], "False"
    for name in {**old.get("Properties", {}), **new.get("Properties", {})}:
        was, now = old.get("Properties", {}).get(name), new.get("Properties", {}).get(name)
        # An attribute of a resource that changes is not known; a reference only where another takes its place.
        sources = {one for one in unknown | replaced if is_referred_to(now, one)}
        sources |= {one for one in listed if is_referred_to(now, one, attributes=True)}
        if was != now or any(is_referred_to(now, one) for one in changed):
            if name == "TemplateURL":
                continue
            always = name in replacing
            replacement = "True" if always else replacement
            recreation = "Always" if always else "Never"
            values = show_value(was, before), show_value(now, after)
            details.append(describe_property(name, *values, recreation, "Static"))
        elif sources and kind != STACK:
            may = name in replacing
            replacement = "Conditional" if may and replacement == "False" else replacement
            known = show_value(was, before)
            recreation = "Conditionally" if may else "Never"
            details.append(describe_property(name, known, KNOWN_AFTER_APPLY, recreation, "Dynamic"))
    if not details:
        return None
    more = {}
    if replacement != "False":
        more["PolicyAction"] = f"ReplaceAnd{new.get('UpdateReplacePolicy', 'Delete')}"
    return describe_resource("Modify", logical_id, kind, details, Replacement=replacement, **more)


def pass_on(expression: Any, parameters: dict[str, str]) -> str:
    """What a nested stack is given: a parameter's value, or some text that stands for an output."""
    if isinstance(expression, dict) and "Ref" in expression:
        return parameters.get(expression["Ref"], expression["Ref"])
    return "-".join(re.findall(r"\w+", json.dumps(expression))).replace("Fn-GetAtt-", "")


def show_value(value: Any, stack: Stack) -> str:
    """A property's value with the stack's parameters in it, as far as they are texts."""
    if isinstance(value, dict) and isinstance(value.get("Fn::Sub"), str):
        value = value["Fn::Sub"]
    text = value if isinstance(value, str) else json.dumps(value)
    for name, argument in stack.parameters.items():
        reference = f'{{"Ref": "{name}"}}'
        text = (
            argument
            if text == reference
            else text.replace(reference, json.dumps(argument)).replace(f"${{{name}}}", argument)
        )
    return text


def describe_property(name: str, before: str, after: str, recreation: str, evaluation: str) -> dict[str, Any]:
    target = {
        "Attribute": "Properties",
        "Name": name,
        "Path": f"/Properties/{name}",
        "RequiresRecreation": recreation,
        "BeforeValue": before,
        "AfterValue": after,
    }
    return {"Target": target, "Evaluation": evaluation, "ChangeSource": "DirectModification"}


def leave_out_values(change: dict[str, Any]) -> dict[str, Any]:
    resource = change["ResourceChange"]
    bare = [
        {**one, "Target": {k: v for k, v in one["Target"].items() if k not in ("BeforeValue", "AfterValue")}}
        for one in resource["Details"]
    ]
    return {**change, "ResourceChange": {**resource, "Details": bare}}
