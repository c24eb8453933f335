"""The differences between a template and what AWS says, in words that name the property.

AWS adds defaults of its own: of a map only what the template says is compared. Numbers and booleans are compared
whatever their form, keys by their id whether AWS gives an ARN or an id.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_KEY = re.compile(r"^(?:arn:[a-z-]+:kms:[^:]*:[0-9]*:)?key/([A-Za-z0-9-]+)$")
_ACCOUNT = re.compile(r"^arn:[a-z-]+:iam::([0-9]{12}):root$")
_PREFIX = re.compile(r"^[A-Za-z0-9-]+:")
# CloudWatch gives every number a fraction.
_WHOLE = re.compile(r"^(-?[0-9]+)\.0+$")
_LONGEST = 90
# Documents of statements; RedrivePolicy and FilterPolicy of a subscription are plain values.
_POLICIES = frozenset({"AssumeRolePolicyDocument", "DataProtectionPolicy", "KeyPolicy", "PolicyDocument"})


def differences(expected: Mapping[str, Any], seen: Mapping[str, Any]) -> list[str]:
    """One line for each property of ``seen`` that is not as ``expected``."""
    return [line for name, value in seen.items() for line in _property(name, expected.get(name), value)]


def _property(name: str, expected: Any, seen: Any) -> Iterator[str]:
    if name in _POLICIES:
        yield from policy_differences(expected or {}, seen or {})
    elif name.endswith("Tags"):
        # CloudFormation adds tags of its own, and passes on those of the stack.
        tags, seen_tags = _by_key(expected), _by_key(seen)
        missing = [f"{key}={value}" for key, value in tags.items() if seen_tags.get(key) != value]
        if missing:
            yield f"{name} lack {', '.join(missing)}"
    elif isinstance(expected, dict) and isinstance(seen, dict):
        for key, value in expected.items():
            if not matches(value, seen.get(key)):
                yield from _property(f"{name}.{key}", value, seen.get(key))
    elif not matches(expected, seen):
        yield f"{name} is {_shown(seen)}, must be {_shown(expected)}"


def _by_key(tags: Any) -> dict[str, str]:
    return tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags or []}


def matches(expected: Any, seen: Any) -> bool:
    """Whether ``seen`` has all that ``expected`` says."""
    if isinstance(expected, dict) and isinstance(seen, dict):
        return all(matches(value, seen.get(key)) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(seen, list):
        remaining = list(seen)
        for value in expected:
            match = next((candidate for candidate in remaining if matches(value, candidate)), None)
            if match is None:
                return False
            remaining.remove(match)
        return not remaining
    if not expected and not seen:
        return _text(expected) == _text(seen) or None in (expected, seen) or "" in (expected, seen)
    return _text(expected) == _text(seen)


def _text(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if key := _KEY.match(text):
        return key[1]
    text = text.lower() if text in ("True", "False") else text
    return _WHOLE.sub(r"\1", text)


def policy_differences(expected: Mapping[str, Any], seen: Mapping[str, Any]) -> list[str]:
    """One line for each statement of a policy that is missing, additional, repeated, or different."""
    before, after = _by_sid(expected), _by_sid(seen)
    lines = [f"statement {sid} is missing" for sid in before if sid not in after]
    lines += [f"statement {sid} is not in the template" for sid in after if sid not in before]
    for sid in before.keys() & after.keys():
        if len(after[sid]) != len(before[sid]):
            lines.append(f"statement {sid} is there {len(after[sid])} times, must be {len(before[sid])}")
        for expected_statement, statement in zip(before[sid], after[sid], strict=False):
            lines += _statement_differences(sid, expected_statement, statement)
    return sorted(lines)


def _statement_differences(sid: str, expected: dict[str, Any], seen: dict[str, Any]) -> Iterator[str]:
    for name in sorted(expected.keys() | seen.keys()):
        if expected.get(name) == seen.get(name):
            continue
        before, after = expected.get(name), seen.get(name)
        if isinstance(before, list) and isinstance(after, list):
            if missing := [value for value in before if value not in after]:
                yield f"{sid} lacks {name} {', '.join(map(_plain, missing))}"
            if added := [value for value in after if value not in before]:
                yield f"{sid} has {name} {', '.join(map(_plain, added))} that the template does not have"
        else:
            yield f"{sid}: {name} is {_shown(after)}, must be {_shown(before)}"


def _by_sid(document: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The statements in one form: lists sorted, a service's own spellings of the same thing made equal.

    Not every service refuses a second statement of the same Sid, so each Sid has a list.
    """
    statements = document.get("Statement", [])
    statements = [statements] if isinstance(statements, dict) else statements
    by_sid: dict[str, list[dict[str, Any]]] = {}
    for number, statement in enumerate(statements):
        by_sid.setdefault(str(statement.get("Sid", number)), []).append(_canonical(statement))
    return by_sid


def _canonical(statement: dict[str, Any]) -> dict[str, Any]:
    canonical = {name: value for name, value in statement.items() if name != "Sid"}
    for name in ("Action", "NotAction", "Resource", "NotResource", "DataIdentifier"):
        if name in canonical:
            canonical[name] = _sorted(canonical[name])
    for name in ("Action", "NotAction"):
        if name in canonical:
            # SNS writes SNS:Publish.
            canonical[name] = sorted(_PREFIX.sub(lambda match: match[0].lower(), action) for action in canonical[name])
    if "Principal" in canonical:
        principal = canonical["Principal"]
        # SNS and SQS write everybody in either way.
        principal = {"AWS": "*"} if principal == "*" else principal
        canonical["Principal"] = {kind: _sorted(names) for kind, names in principal.items()}
    if "Condition" in canonical:
        canonical["Condition"] = {
            operator: {key.lower(): _sorted(value) for key, value in keys.items()}
            for operator, keys in canonical["Condition"].items()
        }
    return canonical


def _sorted(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    texts = [_ACCOUNT.sub(r"\1", _text(item)) if isinstance(item, str | bool | int) else item for item in values]
    return sorted(texts, key=_plain)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _shown(value: Any) -> str:
    if value in (None, "", [], {}):
        return "not set"
    text = _plain(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
