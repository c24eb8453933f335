"""The keys are enabled and rotated, have the policies of the templates, and encrypt what the templates say."""

import json
from collections.abc import Iterator

from .expected import Expected
from .property_differences import contains_expected
from .results import Check, Failed, Unknown, run_check
from .run import Run

GROUP = "keys"
# The properties of a template that name the key of a resource.
_KEY_PROPERTIES = (
    ("SSESpecification", "KMSMasterKeyId"),
    ("EncryptionConfiguration", "KmsKeyId"),
    ("KmsMasterKeyId",),
    ("KmsKeyId",),
    ("KmsKeyArn",),
    ("EncryptionKeyArn",),
)


def checks(run: Run) -> Iterator[Check]:
    yield run_check(GROUP, "state, rotation, policies", _check_keys, run)
    for alias in run.select_resources("AWS::KMS::Alias"):
        yield run_check(GROUP, alias.physical_id or alias.path, _check_alias, run, alias)


def _check_keys(run: Run) -> str:
    keys = run.select_resources("AWS::KMS::Key")
    problems = [
        f"key of {_name_key(run, key)}: {line.split(': ', 1)[-1]}" for key in keys for line in run.find_differences(key)
    ]
    if problems:
        raise Failed("; ".join(problems))
    statements = sum(len(key.properties["KeyPolicy"]["Statement"]) for key in keys)
    return f"{len(keys)} enabled and rotated, with {statements} statements as in the templates"


def _check_alias(run: Run, alias: Expected) -> str:
    """Check that the alias points to the stack's key, and that the key encrypts its resources."""
    run.check_declared([alias])
    key = alias.properties["TargetKeyId"]
    encrypted, hidden = [], []
    for resource in run.expected.values():
        path = _find_key_path(resource, key)
        if path and f"{resource.type}.{path[0]}" in run.gaps:
            hidden.append(resource)
        elif path:
            differences = [line for line in run.find_differences(resource) if f": {'.'.join(path)} is " in line]
            if differences:
                raise Failed("; ".join(differences))
            encrypted.append(resource)
    if not encrypted and not hidden:
        raise Failed(f"nothing is encrypted with {alias.physical_id}")
    if hidden and not encrypted:
        run.check_gap(f"{hidden[0].type}.{(_find_key_path(hidden[0], key) or ('',))[0]}")
        raise Unknown("what it encrypts is not shown")
    return f"encrypts {', '.join(sorted(resource.name for resource in encrypted))}"


def _find_key_path(resource: Expected, key: str) -> tuple[str, ...] | None:
    for path in _KEY_PROPERTIES:
        value = resource.properties.get(path[0])
        for name in path[1:]:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str) and contains_expected(value.rsplit("/", 1)[-1], key):
            return path
    return None


def _name_key(run: Run, key: Expected) -> str:
    aliases = (
        alias for alias in run.select_resources("AWS::KMS::Alias") if alias.properties["TargetKeyId"] == key.physical_id
    )
    return next((alias.properties["AliasName"] for alias in aliases), json.dumps(key.path))
