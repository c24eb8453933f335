"""Finds what a plan changes without a loss of data, and nobody should have to search for: rights, and who watches."""

import json
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from scripts.common.evaluated import Evaluated, Resource
from scripts.common.wording import join_names

from .compare import as_text
from .iam import ALL_BUT, EVERY_ACTION_BUT, EVERYBODY, MEMBERSHIP, RESOURCE_POLICIES, as_list
from .model import KNOWN_AFTER_APPLY, Change, PropertyChange, StackChanges, StatementChange
from .whole_values import parse_value, read_number

_ALARMS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
_ACCOUNT = re.compile(r"arn:[a-z-]+:(?:iam|sts)::(\d{12}):|(?:^|\s)(\d{12})$")
_NAMED = 3
# The kinds of policies that say whom a resource is open to.
_LIMITED = (*RESOURCE_POLICIES, "permission")
# Actions by which who has them can give themselves any other right: a pattern that covers one of them is named.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-deprecated.html
_ADMINISTRATION = (
    *("iam:attachrolepolicy", "iam:putrolepolicy", "iam:createpolicyversion", "iam:updateassumerolepolicy"),
    *("iam:createaccesskey", "iam:passrole", "sts:assumerole", "organizations:attachpolicy"),
)
# AWS's policies, whose documents no template has, and AWS changes.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-vs-inline.html#aws-managed-policies
_POLICY_OF_AWS = re.compile(r":iam::aws:policy/(?:.*/)?([^/]+)$")
_NOT_READ = ", which the plan does not look into"
_HOLDERS = ("Roles", "Users", "Groups")
# The types that name who gets something; who joins a group, the statements tell.
_POLICY_TYPES = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::InstanceProfile")


def describe_widened_rights(statements: Iterable[StatementChange], account: str) -> Iterator[str]:
    """Yield a line for each added statement that allows something to everybody or to another account, or nearly all.

    And one for each condition without which a resource is open to somebody, for each holder of statements that deny
    something no longer, or on another condition, and for each policy of AWS that is attached or detached.
    ``account`` is the id of the account that is deployed to.
    """
    statements = list(statements)
    for statement in statements:
        if statement.added and statement.effect == "Allow" and (widening := _describe_widening(statement, account)):
            limits = ", within its condition" if statement.condition else ""
            yield f"{statement.holder} ({statement.kind}) allows {widening}{limits}{_tell_when(statement)}"
    for statement in statements:
        if not statement.added and statement.kind in _LIMITED and statement.effect == "Allow":
            yield from _describe_lost_limits(statement, statements)
        if not statement.added and statement.effect == "Deny":
            yield _describe_removed_denial(statement, statements)
        elif not statement.added and (policy := _find_policy_of_aws(statement)):
            yield f"{statement.holder} (attached) no longer has AWS's policy {policy}{_NOT_READ}"


def _describe_lost_limits(statement: StatementChange, statements: list[StatementChange]) -> Iterator[str]:
    """Yield a line for the conditions of a removed statement that another one, which allows the same, lacks or changes.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition.html
    """
    place, limits = (statement.holder, statement.kind, "Allow", statement.resource), _read_limits(statement.condition)
    for other in statements:
        actions = [action for action in statement.actions if action in other.actions]
        if not (other.added and actions and (other.holder, other.kind, other.effect, other.resource) == place):
            continue
        later = _read_limits(other.condition)
        words = [
            _describe_lost_limit(limit, values, later.get(limit))
            for limit, values in limits.items()
            if not _is_kept(limit, values, later.get(limit))
        ]
        if words:
            yield (
                f"{statement.holder} ({statement.kind}) allows {', '.join(actions)} for "
                f"{statement.resource.rpartition(' for ')[2]} {'; '.join(words)}{_tell_when(other)}"
            )


def _describe_lost_limit(limit: str, values: set[str], later: set[str] | None) -> str:
    before = " or ".join(sorted(values))
    if later is None:
        return f"no longer only if {limit} {before}".rstrip()
    return f"on another condition: {limit} from {before} to {' or '.join(sorted(later))}"


def _read_limits(condition: str) -> dict[str, set[str]]:
    """Return the values by operator and key; a condition that is no mapping, such as a function, is its own key."""
    operators = parse_value(condition) if condition else {}
    if not isinstance(operators, dict):
        return {condition: set()}
    return {
        f"{operator} {key}".strip(): {item if isinstance(item, str) else json.dumps(item) for item in as_list(values)}
        for operator, keys in operators.items()
        for key, values in (keys.items() if isinstance(keys, dict) else [("", keys)])
    }


def _is_kept(limit: str, values: set[str], later: set[str] | None) -> bool:
    """Whether a condition allows no more than before: fewer values, or where they are excluded, more."""
    return later is not None and (values <= later if "Not" in limit.split()[0] else later <= values)


def _find_policy_of_aws(statement: StatementChange) -> str:
    """Return the name of AWS's policy that the statement attaches; empty for any other statement."""
    policy = _POLICY_OF_AWS.search(statement.resource) if statement.kind == "attached" else None
    return policy[1] if policy else ""


def _describe_removed_denial(statement: StatementChange, statements: list[StatementChange]) -> str:
    actions, target = ", ".join(statement.actions), statement.resource
    if target:
        is_principal = statement.kind in RESOURCE_POLICIES and " for " not in target
        actions += f" {'for' if is_principal else 'on'} {target}"
    place = (statement.holder, statement.effect, statement.resource)
    is_replaced = any(
        other.added
        and (other.holder, other.effect, other.resource) == place
        and set(statement.actions) <= set(other.actions)
        for other in statements
    )
    change = "denies on another condition" if is_replaced else "no longer denies"
    return f"{statement.holder} ({statement.kind}) {change} {actions}{_tell_when(statement)}"


def _tell_when(statement: StatementChange) -> str:
    return f", if {statement.when}" if statement.when else ""


def _describe_widening(statement: StatementChange, account: str) -> str:
    target, separator, principal = statement.resource.rpartition(" for ")
    if statement.kind == MEMBERSHIP:
        return f"{principal + ' ' if separator else ''}all that {target if separator else principal} allows"
    if receivers := _name_receivers(statement, account):
        return f"{receivers} {', '.join(statement.actions)}" + (f" on {target}" if target else "")
    if policy := _find_policy_of_aws(statement):
        return f"all that AWS's policy {policy} allows{_NOT_READ}"
    words = [action for action in statement.actions if _is_wide(action)]
    if not words:
        return ""
    place = "every resource" if statement.resource == "*" else statement.resource
    return f"{'every action' if any(map(_is_every_action, words)) else words[0]} on {place}"


def _name_receivers(statement: StatementChange, account: str) -> str:
    """Return the words for everybody, or for another account, if the statement allows them something."""
    _, separator, principal = statement.resource.rpartition(" for ")
    if principal == EVERYBODY:
        return "everybody"
    if not separator and statement.kind not in RESOURCE_POLICIES:
        return ""
    if principal.startswith(ALL_BUT):
        return f"everybody but {principal.removeprefix(ALL_BUT)}"
    others = sorted(_find_accounts(principal) - {account})
    return f"another account, {', '.join(others)}," if others else ""


def _is_wide(action: str) -> bool:
    """Whether the action stands for all actions, or for one by which others can be had."""
    if _is_every_action(action) or action.startswith(EVERY_ACTION_BUT):
        return True
    is_pattern = "*" in action or "?" in action
    return is_pattern and any(fnmatchcase(name, action.lower()) for name in _ADMINISTRATION)


def _is_every_action(action: str) -> bool:
    return "*" in action and not action.strip("*?:")


def _find_accounts(principal: str) -> set[str]:
    return {number for match in _ACCOUNT.finditer(principal) for number in match.groups() if number}


def describe_changed_limits(stack: StackChanges, before: Evaluated | None, after: Evaluated) -> Iterator[str]:
    """Yield a line for each role or user whose permissions boundary changes or goes, and for each policy that more get.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
    """
    yield from _describe_changed_boundaries(stack)
    old = dict(before.walk()) if before else {}
    for path, resource in after.walk():
        if resource.type in _POLICY_TYPES and path in old:
            for name in _HOLDERS:
                holders = _list_texts(old[path], name)
                added = [text for text in _list_texts(resource, name) if text not in holders]
                if added:
                    yield f"{path} ({resource.type}) counts for more {name.lower()}: {', '.join(added)}"


def _describe_changed_boundaries(stack: StackChanges) -> Iterator[str]:
    for path, change in stack.walk():
        for prop in change.properties if _is_modified(change) else ():
            if prop.name == "PermissionsBoundary" and prop.before is not None:
                fate = "no longer has its" if prop.after is None else "has another"
                yield f"{path} ({change.resource_type}) {fate} permissions boundary: {_show_values(prop)}"


def _is_modified(change: Change) -> bool:
    return change.action in ("Modify", "Dynamic") and not change.is_spurious


def _show_values(prop: PropertyChange) -> str:
    """Return both values; a part that only the deployment tells is named so, as in the list of changes."""
    values = ("(none)" if value is None else value for value in (prop.before, prop.after))
    return " → ".join(values).replace(KNOWN_AFTER_APPLY, "(known after apply)")


def _list_texts(resource: Resource, name: str) -> list[str]:
    value = resource.properties.get(name, [])
    return list(map(as_text, value)) if isinstance(value, list) else [as_text(value)]


def describe_raised_thresholds(stack: StackChanges, after: Evaluated) -> Iterator[str]:
    """Yield a line for each alarm that goes off later or otherwise, because of its threshold or how it is compared.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudwatch-alarm.html
    """
    resources = dict(after.walk())
    for path, change in stack.walk():
        if change.resource_type not in _ALARMS or not _is_modified(change) or path not in resources:
            continue
        operator = as_text(resources[path].properties.get("ComparisonOperator", ""))
        # A property that hangs on a condition is listed once for each result.
        operators = [prop for prop in change.properties if prop.name == "ComparisonOperator"]
        for prop in operators:
            yield f"{path} goes off otherwise: it compares by {_show_values(prop)}"
        for prop in change.properties if not operators else ():
            if prop.name == "Threshold" and _is_moved_away(prop, operator):
                yield f"{path} goes off later: its threshold is {_show_values(prop)} ({operator})"


def _is_moved_away(prop: PropertyChange, operator: str) -> bool:
    before, after = (read_number(parse_value(value), 0) for value in (prop.before, prop.after))
    if before is None or after is None:
        return True
    if operator.startswith("Greater"):
        return after > before
    # Without an operator that is known, any other threshold may be the worse one.
    return after < before if operator.startswith("Less") else after != before


def describe_removed_alarms(stack: StackChanges) -> Iterator[str]:
    """Yield one line for the alarms that are removed, if any are, and one for those that may be."""
    alarms = [(path, change) for path, change in stack.walk() if change.resource_type in _ALARMS]
    alarms = [(path, change) for path, change in alarms if not change.is_spurious]
    possible = [path for path, change in alarms if _may_be_removed(change)]
    certain = [path for path, change in alarms if change.action == "Remove" and path not in possible]
    if certain:
        verb = "is" if len(certain) == 1 else "are"
        yield f"{_count_alarms(certain)} {verb} removed, and nobody is told any more when {_list_alarms(certain)}"
    if possible:
        yield f"{_count_alarms(possible)} may be removed, and nobody is told then when {_list_alarms(possible)}"


def _may_be_removed(change: Change) -> bool:
    """Whether the alarm is removed by the result of a condition that no template tells."""
    return change.may_be_removed or (change.action == "Remove" and bool(change.condition))


def _count_alarms(paths: list[str]) -> str:
    return "1 alarm" if len(paths) == 1 else f"{len(paths)} alarms"


def _list_alarms(paths: list[str]) -> str:
    return f"{'it' if len(paths) == 1 else 'they'} would go off: {join_names(paths, _NAMED)}"
