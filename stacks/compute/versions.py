"""Describes the version of a function, so that a new one is published exactly when the content of a version changes.

CloudFormation publishes a version only when a property of its resource changes, and Lambda refuses to publish one that
equals the last ("A version for this Lambda function exists"). So the description covers everything that a version
contains, and nothing else. CloudFormation deletes the version that it replaces, so going back takes another deployment.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from troposphere import If, Join, Ref, awslambda, encode_to_dict

from . import function_code, layers

# Properties of the function that are not part of a version.
_NOT_VERSIONED = {"Tags", "ReservedConcurrentExecutions"}
# Setting a property to its default is the same as leaving it out.
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
_DEFAULTS = {"Architectures": ["x86_64"], "EphemeralStorage": {"Size": 512}, "PackageType": "Zip"}


def describe_version(
    function: awslambda.Function,
    *,
    settings: Sequence[Ref],
    names: Mapping[str, str],
    layer: awslambda.LayerVersion | None = None,
) -> Join:
    """Return the description of the version, which has at most 256 characters.

    The text of a reference does not change with its value. So the description contains the values of ``settings``, in
    a fixed order. For all other references its digest contains ``names``: resource names (logical ids of keys) by
    parameter or logical id, because a change set does not know another stack's outputs. It covers ``layer`` if the
    condition of the layer holds.
    """
    resolved = dict(names) | {str(setting.data["Ref"]): "(in the description)" for setting in settings}
    properties = encode_to_dict(function.properties)
    values = {
        name: _resolve_references(value, resolved)
        for name, value in properties.items()
        if name not in {*_NOT_VERSIONED, "Code", "Layers"} and value != _DEFAULTS.get(name)
    }
    parts = [f"code-{_digest_text([function_code.digest_code(), values], 16)}", *settings]
    if layer is not None:
        # A change to any property replaces the layer, which gets another ARN.
        contents = encode_to_dict(layer.properties) | {"Content": layers.digest_requirements(layers.STRIPE)}
        parts.append(If(layer.resource["Condition"], f"layer-{_digest_text(contents, 8)}", "no-layer"))
    return Join(" ", parts)


def _resolve_references(value: Any, names: Mapping[str, str]) -> Any:
    """Return ``value`` with each reference to a key of ``names`` replaced by the name."""
    if isinstance(value, dict):
        if set(value) == {"Ref"} and value["Ref"] in names:
            return names[value["Ref"]]
        return {key: _resolve_references(item, names) for key, item in value.items()}
    return [_resolve_references(item, names) for item in value] if isinstance(value, list) else value


def _digest_text(value: Any, length: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]
