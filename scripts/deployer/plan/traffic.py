"""Finds how the invocations of a function move to its new version, where CodeDeploy shifts them by the template.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.common.evaluated import TOKEN, Evaluated, Resource
from scripts.common.wording import join_names

from .model import StackChanges

ALIAS = "AWS::Lambda::Alias"
# https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
_CONFIGURATION = re.compile(r"(Canary|Linear)(\d+)Percent(?:Every)?(\d+)Minutes?$")
_NAMED = 3


@dataclass(frozen=True)
class Shift:
    """How an alias gets its new version. ``path`` leads to the alias from the root."""

    path: str
    configuration: str
    alarms: tuple[str, ...]


def find_shifts(stack: StackChanges, after: Evaluated) -> list[Shift]:
    """Return the shifts that the changes of the stack would begin."""
    resources = dict(after.walk())
    shifts = []
    for path, change in stack.walk():
        is_update = change.resource_type == ALIAS and change.action == "Modify" and not change.is_spurious
        group = _find_group(resources, path) if is_update else None
        if group and any(prop.name == "FunctionVersion" for prop in change.properties):
            configuration = str(group.properties.get("DeploymentConfigName", ""))
            shifts.append(Shift(path, configuration, tuple(_list_alarms(group))))
    return shifts


def describe_shifts(stack: StackChanges, before: Evaluated | None, after: Evaluated) -> Iterator[str]:
    """Yield a line for the aliases that are shifted in one way, and one for those that are no longer."""
    by_configuration: dict[str, list[Shift]] = {}
    for shift in find_shifts(stack, after):
        by_configuration.setdefault(shift.configuration, []).append(shift)
    for configuration, shifts in by_configuration.items():
        alarms = list(dict.fromkeys(alarm for shift in shifts for alarm in shift.alarms))
        watched = f"; if one of {join_names(alarms, _NAMED)} goes off meanwhile," if alarms else "; if that fails,"
        yield (
            f"{', '.join(shift.path for shift in shifts)}: CodeDeploy sends {_describe_steps(configuration)}{watched} "
            "all go to the old version again, and the deployment is rolled back"
        )
    old, new = dict(before.walk()) if before else {}, dict(after.walk())
    ended = [path for path in old if path in new and _find_group(old, path) and not _find_group(new, path)]
    if ended:
        yield f"{', '.join(ended)}: new versions get all invocations at once, and no alarm stops that any more"


def _find_group(resources: dict[str, Resource], path: str) -> Resource | None:
    """Return the deployment group by which an alias is updated."""
    resource = resources.get(path)
    policies = resource.attributes.get("UpdatePolicy") if resource and resource.type == ALIAS else None
    update = policies.get("CodeDeployLambdaAliasUpdate") if isinstance(policies, dict) else None
    name = update.get("DeploymentGroupName") if isinstance(update, dict) else None
    reference = TOKEN.fullmatch(name) if isinstance(name, str) else None
    return resources.get(reference[1]) if reference else None


def _list_alarms(group: Resource) -> Iterator[str]:
    """Yield the names of the watched alarms, as far as the template tells them."""
    configuration = group.properties.get("AlarmConfiguration")
    alarms = configuration.get("Alarms") if isinstance(configuration, dict) else None
    for alarm in alarms if isinstance(alarms, list) else []:
        if isinstance(alarm, dict) and isinstance(alarm.get("Name"), str):
            yield alarm["Name"]


def _describe_steps(configuration: str) -> str:
    match = _CONFIGURATION.search(configuration)
    if match is None:
        return f"the invocations to the new version as {configuration} says"
    percent, minutes = int(match[2]), int(match[3])
    if match[1] == "Canary":
        return f"{percent} % of the invocations to the new version for {minutes} minutes, and then all"
    every = "minute" if minutes == 1 else f"{minutes} minutes"
    total = minutes * 100 // percent
    return f"{percent} % more of the invocations to the new version every {every}, all after {total} minutes at most"
