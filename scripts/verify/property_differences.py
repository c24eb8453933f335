"""Finds the differences between the properties of a template and those that AWS returns.

AWS adds defaults, so only the template's keys of a map are compared. On either side, numbers and booleans may be text,
and a KMS key an id or an ARN.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_KEY = re.compile(r"^(?:arn:[a-z-]+:kms:[^:]*:[0-9]*:)?key/([A-Za-z0-9-]+)$")
_ACCOUNT = re.compile(r"^arn:[a-z-]+:iam::([0-9]{12}):root$")
_PREFIX = re.compile(r"^[A-Za-z0-9-]+:")
# CloudWatch returns every number with a fraction.
_WHOLE_NUMBER = re.compile(r"^(-?[0-9]+)\.0+$")
_LONGEST = 90
# Policy documents with statements; RedrivePolicy and FilterPolicy of a subscription are plain values.
_POLICIES = frozenset({"AssumeRolePolicyDocument", "DataProtectionPolicy", "KeyPolicy", "PolicyDocument"})


def find_differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    """Return a line for each property of ``actual`` that differs from ``expected``."""
    return [line for name, value in actual.items() for line in _compare_property(name, expected.get(name), value)]


def _compare_property(name: str, expected: Any, actual: Any) -> Iterator[str]:
    if name in _POLICIES:
        yield from find_policy_differences(expected or {}, actual or {})
    elif name.endswith("Tags"):
        # CloudFormation adds its own tags and those of the stack.
        tags, actual_tags = _index_tags(expected), _index_tags(actual)
        missing = [f"{key}={value}" for key, value in tags.items() if actual_tags.get(key) != value]
        if missing:
            yield f"{name} lack {', '.join(missing)}"
    elif isinstance(expected, dict) and isinstance(actual, dict):
        for key, value in expected.items():
            if not contains_expected(value, actual.get(key)):
                yield from _compare_property(f"{name}.{key}", value, actual.get(key))
    elif not contains_expected(expected, actual):
        yield f"{name} is {_abbreviate(actual)}, must be {_abbreviate(expected)}"


def _index_tags(tags: Any) -> dict[str, str]:
    """Return tags by key. Services return a map, or a list whose items have Key, key or TagKey, and likewise Value."""
    if isinstance(tags, dict):
        return tags
    normalized = [{name.lower().removeprefix("tag"): value for name, value in tag.items()} for tag in tags or []]
    return {tag["key"]: tag["value"] for tag in normalized}


def contains_expected(expected: Any, actual: Any) -> bool:
    """Return whether ``actual`` has everything that ``expected`` has; lists may differ in order."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(contains_expected(value, actual.get(key)) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(actual, list):
        remaining = list(actual)
        for value in expected:
            match = next((candidate for candidate in remaining if contains_expected(value, candidate)), None)
            if match is None:
                return False
            remaining.remove(match)
        return not remaining
    if not expected and not actual and (None in (expected, actual) or "" in (expected, actual)):
        return True
    return _normalize_text(expected) == _normalize_text(actual)


def _normalize_text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if key := _KEY.match(text):
        return key[1]
    text = text.lower() if text in ("True", "False") else text
    return _WHOLE_NUMBER.sub(r"\1", text)


def find_policy_differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    """Return a line for each statement of a policy that is missing, additional, repeated, or different."""
    before, after = _index_statements(expected), _index_statements(actual)
    lines = [f"statement {sid} is missing" for sid in before if sid not in after]
    lines += [f"statement {sid} is not in the template" for sid in after if sid not in before]
    for sid in before.keys() & after.keys():
        if len(after[sid]) != len(before[sid]):
            lines.append(f"statement {sid} is present {len(after[sid])} times, must be {len(before[sid])}")
        for expected_statement, statement in zip(before[sid], after[sid], strict=False):
            lines += _compare_statements(sid, expected_statement, statement)
    return sorted(lines)


def _compare_statements(sid: str, expected: dict[str, Any], actual: dict[str, Any]) -> Iterator[str]:
    for name in sorted(expected.keys() | actual.keys()):
        if expected.get(name) == actual.get(name):
            continue
        before, after = expected.get(name), actual.get(name)
        if isinstance(before, list) and isinstance(after, list):
            if missing := [value for value in before if value not in after]:
                yield f"{sid} lacks {name} {', '.join(map(_to_text, missing))}"
            if added := [value for value in after if value not in before]:
                yield f"{sid} has {name} {', '.join(map(_to_text, added))} that the template does not have"
        else:
            yield f"{sid}: {name} is {_abbreviate(after)}, must be {_abbreviate(before)}"


def _index_statements(document: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the normalized statements by Sid, each of which some services accept several times."""
    statements = document.get("Statement", [])
    statements = [statements] if isinstance(statements, dict) else statements
    by_sid: dict[str, list[dict[str, Any]]] = {}
    for number, statement in enumerate(statements):
        by_sid.setdefault(str(statement.get("Sid", number)), []).append(_normalize_statement(statement))
    return by_sid


def _normalize_statement(statement: dict[str, Any]) -> dict[str, Any]:
    """Sort the lists, and unify what services write in several ways."""
    canonical = {name: value for name, value in statement.items() if name != "Sid"}
    for name in ("Action", "NotAction", "Resource", "NotResource", "DataIdentifier"):
        if name in canonical:
            canonical[name] = _sort_values(canonical[name])
    for name in ("Action", "NotAction"):
        if name in canonical:
            # SNS returns SNS:Publish.
            canonical[name] = sorted(_PREFIX.sub(lambda match: match[0].lower(), action) for action in canonical[name])
    if "Principal" in canonical:
        principal = canonical["Principal"]
        # SNS and SQS return "*" in either form.
        principal = {"AWS": "*"} if principal == "*" else principal
        canonical["Principal"] = {kind: _sort_values(names) for kind, names in principal.items()}
    if "Condition" in canonical:
        canonical["Condition"] = {
            operator: {key.lower(): _sort_values(value) for key, value in keys.items()}
            for operator, keys in canonical["Condition"].items()
        }
    return canonical


def _sort_values(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    texts = [
        _ACCOUNT.sub(r"\1", _normalize_text(item)) if isinstance(item, str | bool | int) else item for item in values
    ]
    return sorted(texts, key=_to_text)


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _abbreviate(value: Any) -> str:
    if value in (None, "", [], {}):
        return "not set"
    text = _to_text(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
