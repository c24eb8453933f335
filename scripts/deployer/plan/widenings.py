"""Finds what a plan changes without a loss of data, and nobody should have to search for: rights, and who watches."""

import re
from collections.abc import Iterable, Iterator

from .iam import EVERY_ACTION_BUT, EVERYBODY, RESOURCE_POLICIES
from .model import Change, StackChanges, StatementChange

_ALARMS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
_URL = "AWS::Lambda::Url"
_ACCOUNT = re.compile(r"arn:[a-z-]+:(?:iam|sts)::(\d{12}):|(?:^|\s)(\d{12})$")
_NAMED = 3


def describe_widened_rights(statements: Iterable[StatementChange], account: str) -> Iterator[str]:
    """Yield a line for each added statement that allows something to everybody or to another account, or nearly all.

    ``account`` is the id of the account that is deployed to.
    """
    for statement in statements:
        if statement.added and statement.effect == "Allow" and (widening := _describe_widening(statement, account)):
            limits = ", within its condition" if statement.condition else ""
            yield f"{statement.holder} ({statement.kind}) allows {widening}{limits}"


def _describe_widening(statement: StatementChange, account: str) -> str:
    target, separator, principal = statement.resource.rpartition(" for ")
    actions = ", ".join(statement.actions) + (f" on {target}" if target else "")
    if principal == EVERYBODY:
        return f"everybody {actions}"
    others = _find_accounts(principal) - {account} if separator or statement.kind in RESOURCE_POLICIES else set()
    if others:
        return f"another account, {', '.join(sorted(others))}, {actions}"
    words = [action for action in statement.actions if action == "*" or action.startswith(EVERY_ACTION_BUT)]
    if not words:
        return ""
    place = "every resource" if statement.resource == "*" else statement.resource
    return f"{'every action' if '*' in words else words[0]} on {place}"


def _find_accounts(principal: str) -> set[str]:
    return {number for match in _ACCOUNT.finditer(principal) for number in match.groups() if number}


def describe_open_urls(stack: StackChanges) -> Iterator[str]:
    """Yield a line for each function URL that needs no signature.

    https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    """
    for path, change in stack.walk():
        is_open = any((prop.name, prop.after) == ("AuthType", "NONE") for prop in change.properties)
        if change.resource_type == _URL and is_open:
            yield f"{path} opens its function to requests without a signature (AuthType NONE)"


def describe_removed_alarms(stack: StackChanges) -> Iterator[str]:
    """Yield one line for the alarms that are removed, if any are."""
    paths = [path for path, change in stack.walk() if _is_removed_alarm(change)]
    if paths:
        others = len(paths) - _NAMED
        names = ", ".join(paths[:_NAMED]) + (f" and {others} more" if others > 0 else "")
        alarms = "1 alarm is" if len(paths) == 1 else f"{len(paths)} alarms are"
        yield f"{alarms} removed, and nobody is told any more when they would go off: {names}"


def _is_removed_alarm(change: Change) -> bool:
    return change.action == "Remove" and change.resource_type in _ALARMS and not change.is_spurious
