"""A template as the evaluation returns it: resources whose properties are values, and what is not known of them.

A value that only the service knows is a token, in a text or as the whole of it:

- ``${Data/Transactions.Arn}`` names a resource by its path in the tree, and perhaps an attribute of it;
- ``${?SSM parameter /limit}`` says why a value may change although no template does;
- ``${*ApiKey 5f0c}`` stands for a ``NoEcho`` parameter: equal values have equal tokens, which do not show them;
  ``${*?ApiKey 5f0c}`` for one whose deployed value nobody can read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(r"\$\{([A-Za-z0-9/]+)((?:\.[A-Za-z0-9.]+)?)\}")
UNKNOWABLE = re.compile(r"\$\{\?([^}]+)\}")
# As CloudFormation shows the value of a NoEcho parameter.
MASK = "****"
SECRET = re.compile(r"\$\{\*[^}]+\}")
HIDDEN_SECRET = re.compile(r"\$\{\*\?(\w+) [^}]*\}")
# Any token: it stands for a text that is not known here.
ANY_TOKEN = re.compile(r"\$\{[A-Za-z0-9/?*][^}]*\}")
_DYNAMIC_REFERENCE = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^}]*)\}\}")
# What stands for a part of a text that is not known: a token, a dynamic reference, or a function within a text.
NOT_KNOWN = re.compile(rf"{ANY_TOKEN.pattern}|{_DYNAMIC_REFERENCE.pattern}|\{{\"Fn::.*", re.DOTALL)


@dataclass(frozen=True)
class Resource:
    type: str
    properties: dict[str, Any]
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"
    # What else a template says of a resource and CloudFormation compares: Metadata, CreationPolicy and UpdatePolicy.
    attributes: dict[str, Any] = field(default_factory=dict)
    # When the resource exists, if no template tells whether its condition is met; empty if it exists in any case.
    condition: str = ""


@dataclass(frozen=True)
class Unknown:
    """What templates do not tell, and why. ``path`` leads to it from its stack; empty for the whole of the stack."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason

    def prefix_path(self, logical_id: str) -> "Unknown":
        """Return it as the stack around its stack names it."""
        return Unknown(f"{logical_id}/{self.path}".rstrip("/"), self.reason)


@dataclass(frozen=True)
class Evaluated:
    """A stack as its template describes it, without the resources whose conditions are known to be false."""

    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    nested: dict[str, "Evaluated"] = field(default_factory=dict)
    # The names of exports by output.
    exports: dict[str, Any] = field(default_factory=dict)
    # Why the template cannot be evaluated completely: macros, missing templates, secrets that nobody can read.
    unknowns: tuple[Unknown, ...] = ()

    def walk(self, path: str = "") -> Iterator[tuple[str, Resource]]:
        """Yield each resource of the tree with its path from the root, such as Data/Transactions."""
        for logical_id, resource in self.resources.items():
            yield f"{path}{logical_id}", resource
            if logical_id in self.nested:
                yield from self.nested[logical_id].walk(f"{path}{logical_id}/")


def find_unknowable_reasons(value: Any) -> Iterator[str]:
    """Yield why the value, or a part of it, may change although no template does."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from find_unknowable_reasons(item)
    elif isinstance(value, list):
        for item in value:
            yield from find_unknowable_reasons(item)
    elif isinstance(value, str):
        yield from (match[1] for match in UNKNOWABLE.finditer(value))
        for match in HIDDEN_SECRET.finditer(value):
            yield f"the NoEcho parameter {match[1]}, whose deployed value nobody can read"
        for service, reference in _DYNAMIC_REFERENCE.findall(value):
            if not _has_fixed_version(service, reference):
                yield f"{{{{resolve:{service}:{reference}}}}}"


def _has_fixed_version(service: str, reference: str) -> bool:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html"""
    if service == "secretsmanager":
        # secret-id:SecretString:json-key:version-stage:version-id, where the id may be an ARN of seven parts.
        parts = reference.split(":SecretString", 1)[-1].split(":")
        return len(parts) > 3 and bool(parts[3])
    return reference.rpartition(":")[2].isdigit()


def mask_secrets(text: str) -> str:
    """Return the text as CloudFormation shows it, with a mask for each value of a NoEcho parameter."""
    return SECRET.sub(MASK, text)
