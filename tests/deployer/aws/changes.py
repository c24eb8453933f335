"""The changes of one resource, as CloudFormation lists them in a change set."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.deployer.aws.stacks import STACK, Changes, Stack

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets-view.html
KNOWN_AFTER_APPLY = "{{changeSet:KNOWN_AFTER_APPLY}}"
# The properties that tests change and whose change replaces the resource.
REPLACED_BY = {
    "AWS::DynamoDB::Table": ("TableName", "KeySchema"),
    "AWS::SQS::Queue": ("QueueName",),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::Lambda::Version": ("Description",),
    "AWS::CloudWatch::Alarm": ("AlarmName",),
}


def is_referred_to(value: Any, name: str, *, attributes: bool = False) -> bool:
    """Tell whether an expression refers to a resource or a parameter, or only to attributes of a resource."""
    text = json.dumps(value)
    if f'"Fn::GetAtt": ["{name}"' in text or f"${{{name}." in text:
        return True
    return not attributes and (f'"Ref": "{name}"' in text or f"${{{name}}}" in text)


def describe_resource(action: str, logical_id: str, kind: str, details: Changes, **attributes: Any) -> dict[str, Any]:
    change = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind, "Details": details, **attributes}
    return {"Type": "Resource", "ResourceChange": change}


@dataclass
class Comparison:
    """Compares the resources of a stack in their order: later changes depend on earlier ones."""

    before: Stack | None
    after: Stack
    # Parameters of the stack whose values are known only after the deployment.
    unknown: set[str] = field(default_factory=set)
    # The path of a nested stack with a slash at its end; empty for the root.
    path: str = ""
    # The resources with a change so far, and those of them that may be replaced.
    listed: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        before = self.before.resources.items() if self.before else ()
        self.old = {name: resource for name, resource in before if self.before and name not in self.before.missing}
        self.new = self.after.resources
        values = self.after.parameters.items()
        self.changed = {key for key, value in values if self.before and self.before.parameters.get(key) != value}

    def add_change(self, change: dict[str, Any]) -> None:
        resource = change["ResourceChange"]
        self.listed.add(resource["LogicalResourceId"])
        if resource["Action"] != "Add" and resource.get("Replacement", "False") != "False":
            self.replaced.add(resource["LogicalResourceId"])

    @property
    def is_drift_aware(self) -> bool:
        """Whether the comparison is with the actual states (drift.py)."""
        return False

    def enter_stack(self, logical_id: str, unknown: set[str]) -> "Comparison":
        """Return the comparison of a nested stack, of whose parameters some are ``unknown``."""
        before = self.before.nested.get(logical_id) if self.before else None
        return Comparison(before, self.after.nested[logical_id], unknown, f"{self.path}{logical_id}/")

    def find_unknown_parameters(self, logical_id: str) -> set[str]:
        """Return the parameters of a nested stack that refer to listed resources."""
        if self.before is None:
            return set()
        parameters = self.new[logical_id]["Properties"].get("Parameters", {}).items()
        return {key for key, value in parameters if any(is_referred_to(value, name) for name in self.listed)}

    def describe_change(self, logical_id: str) -> dict[str, Any] | None:
        """Return the change of one resource as the service describes it, or None."""
        old, new = self.old.get(logical_id), self.new.get(logical_id)
        if new is None:
            policy = "Retain" if str(self.old[logical_id].get("DeletionPolicy")).startswith("Retain") else "Delete"
            return describe_resource("Remove", logical_id, self.old[logical_id]["Type"], [], PolicyAction=policy)
        if old is None:
            # As recorded from AWS on 2025-04-15, although a replacement is documented for Modify only.
            return describe_resource("Add", logical_id, new["Type"], [], Replacement="True")
        before, after = old.get("Properties", {}), new.get("Properties", {})
        properties = (self._compare(new["Type"], key, before.get(key), after.get(key)) for key in {**before, **after})
        details = [detail for detail in properties if detail]
        if not details:
            return None
        recreations = {detail["Target"]["RequiresRecreation"] for detail in details}
        if recreations == {"Never"}:
            return describe_resource("Modify", logical_id, new["Type"], details, Replacement="False")
        replacement = "True" if "Always" in recreations else "Conditional"
        policy = f"ReplaceAnd{new.get('UpdateReplacePolicy', 'Delete')}"
        attributes = {"Replacement": replacement, "PolicyAction": policy}
        return describe_resource("Modify", logical_id, new["Type"], details, **attributes)

    def _compare(self, kind: str, name: str, old: Any, new: Any) -> dict[str, Any] | None:
        assert self.before is not None
        if name == "TemplateURL":
            return None
        replaces, before = name in REPLACED_BY.get(kind, ()), show_value(old, self.before)
        # An expression with the same value is no change.
        is_changed = old != new and before != show_value(new, self.after)
        if is_changed or any(is_referred_to(new, parameter) for parameter in self.changed):
            recreation = "Always" if replaces else "Never"
            return describe_property(name, before, show_value(new, self.after), recreation, "Static")
        # An attribute of a changed resource is unknown; a reference is unknown only if the resource may be replaced.
        is_unknown = any(is_referred_to(new, source) for source in self.unknown | self.replaced)
        is_unknown |= any(is_referred_to(new, source, attributes=True) for source in self.listed)
        if not is_unknown or kind == STACK:
            return None
        recreation = "Conditionally" if replaces else "Never"
        return describe_property(name, before, KNOWN_AFTER_APPLY, recreation, "Dynamic")


def pass_on(expression: Any, parameters: dict[str, str]) -> str:
    """Return the argument of a nested stack: a parameter's value, or a text that stands for an output."""
    if isinstance(expression, dict) and "Ref" in expression:
        return parameters.get(expression["Ref"], expression["Ref"])
    return "-".join(re.findall(r"\w+", json.dumps(expression))).replace("Fn-GetAtt-", "")


def show_value(value: Any, stack: Stack) -> str:
    """Return the value of a property as text, with the values of the stack's parameters."""
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
    """Return the change as it is without property values: no path of a property, and no replacement of an addition."""
    resource = change["ResourceChange"]
    left_out = ("BeforeValue", "AfterValue", "Drift", "Path")
    bare = [
        {**detail, "Target": {key: value for key, value in detail["Target"].items() if key not in left_out}}
        for detail in resource["Details"]
    ]
    fields = {key: value for key, value in resource.items() if (resource["Action"], key) != ("Add", "Replacement")}
    return {**change, "ResourceChange": {**fields, "Details": bare}}
