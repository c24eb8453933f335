"""A version of a function: published anew when, and only when, what a version holds has changed.

A version is immutable: CloudFormation publishes one only when a property of its resource changes, and Lambda refuses
to publish one that equals the last ("A version for this Lambda function exists"). So the version's description is made
of all that a version holds, and of nothing else. The version that is replaced is deleted: going back is another
deployment. https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from troposphere import If, Join, Ref, awslambda, encode_to_dict

from . import function_code, layers

# Lambda keeps these with the function, not with a version.
_NOT_VERSIONED = {"Tags", "ReservedConcurrentExecutions"}
# To write one of these down, or to leave it out, changes nothing.
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
_DEFAULTS = {"Architectures": ["x86_64"], "EphemeralStorage": {"Size": 512}, "PackageType": "Zip"}


def describe_version(
    function: awslambda.Function,
    *,
    settings: Sequence[Ref],
    names: Mapping[str, str],
    layer: awslambda.LayerVersion | None = None,
) -> Join:
    """The description of the version, of at most 256 characters.

    A reference reads the same whatever it stands for. What a setting stands for is known to the deployment:
    ``settings`` are in the description by their values, in an order that does not change. ``names`` has, by parameter
    or logical id, the names (for keys the logical ids) behind all other references: they are in its digest, because a
    change set does not know another stack's outputs. A ``layer`` counts where its condition holds.
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
        # Any change of its properties makes it anew, under another ARN.
        contents = encode_to_dict(layer.properties) | {"Content": layers.digest_requirements(layers.STRIPE)}
        parts.append(If(layer.resource["Condition"], f"layer-{_digest_text(contents, 8)}", "no-layer"))
    return Join(" ", parts)


def _resolve_references(value: Any, names: Mapping[str, str]) -> Any:
    """``value`` with what ``names`` has in place of each reference to it."""
    if isinstance(value, dict):
        if set(value) == {"Ref"} and value["Ref"] in names:
            return names[value["Ref"]]
        return {key: _resolve_references(item, names) for key, item in value.items()}
    return [_resolve_references(item, names) for item in value] if isinstance(value, list) else value


def _digest_text(value: Any, length: int) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]
