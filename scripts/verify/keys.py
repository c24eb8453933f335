"""The keys: enabled and rotated, with the policies of the templates, and each the key of what it is for."""

import json
from collections.abc import Iterator

from .compared import matches
from .expected import Expected
from .place import Place
from .results import Check, Failed, Unknown, run

GROUP = "keys"
# Where a template names the key that encrypts a resource.
_KEY_PROPERTIES = (
    ("SSESpecification", "KMSMasterKeyId"),
    ("EncryptionConfiguration", "KmsKeyId"),
    ("KmsMasterKeyId",),
    ("KmsKeyId",),
    ("KmsKeyArn",),
    ("EncryptionKeyArn",),
)


def checks(place: Place) -> Iterator[Check]:
    yield run(GROUP, "state, rotation, policies", _policies, place)
    for alias in place.of_type("AWS::KMS::Alias"):
        name = f"{alias.physical_id or alias.path}"
        yield run(GROUP, name, _use, place, alias)


def _policies(place: Place) -> str:
    keys = place.of_type("AWS::KMS::Key")
    problems = [
        f"key of {_alias_of(place, key)}: {line.split(': ', 1)[-1]}" for key in keys for line in place.differences(key)
    ]
    if problems:
        raise Failed("; ".join(problems))
    statements = sum(len(key.properties["KeyPolicy"]["Statement"]) for key in keys)
    return f"{len(keys)} enabled and rotated, with {statements} statements as in the templates"


def _use(place: Place, alias: Expected) -> str:
    """The alias leads to the stack's key, and what has to be encrypted with it says so."""
    if problems := place.differences(alias):
        raise Failed("; ".join(problems))
    key = alias.properties["TargetKeyId"]
    users, hidden = [], []
    for resource in place.expected.values():
        path = _key_path(resource, key)
        if path and f"{resource.type}.{path[0]}" in place.gaps:
            hidden.append(resource)
        elif path:
            wrong = [line for line in place.differences(resource) if f": {'.'.join(path)} is " in line]
            if wrong:
                raise Failed("; ".join(wrong))
            users.append(resource)
    if not users and not hidden:
        raise Failed(f"nothing is encrypted with {alias.physical_id}")
    if hidden and not users:
        place.check_gap(f"{hidden[0].type}.{(_key_path(hidden[0], key) or ('',))[0]}")
        raise Unknown("what it encrypts is not shown")
    return f"encrypts {', '.join(sorted(user.name for user in users))}"


def _key_path(resource: Expected, key: str) -> tuple[str, ...] | None:
    for path in _KEY_PROPERTIES:
        value = resource.properties.get(path[0])
        for name in path[1:]:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str) and matches(_bare(value), key):
            return path
    return None


def _bare(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def _alias_of(place: Place, key: Expected) -> str:
    aliases = (
        alias for alias in place.of_type("AWS::KMS::Alias") if alias.properties["TargetKeyId"] == key.physical_id
    )
    return next((alias.properties["AliasName"] for alias in aliases), json.dumps(key.path))
