"""The service's side of AWS's query protocol, by botocore's model of each operation.

https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

import boto3
from botocore.model import Shape


def load_model(service: str) -> Any:
    return boto3.client(service, region_name="us-east-1").meta.service_model  # type: ignore[call-overload]


def parse_arguments(shape: Shape, form: Mapping[str, str], prefix: str = "") -> Any:
    """Return the parameters of a request, in the types of the model."""
    if shape.type_name == "structure":
        dot = f"{prefix}." if prefix else ""
        return {
            name: parse_arguments(member, form, f"{dot}{name}")
            for name, member in shape.members.items()  # type: ignore[attr-defined]
            if any(key == f"{dot}{name}" or key.startswith(f"{dot}{name}.") for key in form)
        }
    if shape.type_name == "list":
        items = []
        while any(
            key == f"{prefix}.member.{len(items) + 1}" or key.startswith(f"{prefix}.member.{len(items) + 1}.")
            for key in form
        ):
            items.append(parse_arguments(shape.member, form, f"{prefix}.member.{len(items) + 1}"))  # type: ignore[attr-defined]
        return items
    text = form[prefix]
    if shape.type_name == "boolean":
        return text == "true"
    return int(text) if shape.type_name in ("integer", "long") else text


def render_answer(operation: str, shape: Shape | None, values: Mapping[str, Any]) -> str:
    body = _render_element(shape, values) if shape else ""
    return f"<{operation}Response><{operation}Result>{body}</{operation}Result></{operation}Response>"


def render_error(code: str, message: str) -> str:
    return (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code>"
        f"<Message>{escape(message)}</Message></Error><RequestId>fake</RequestId></ErrorResponse>"
    )


def _render_element(shape: Shape, value: Any) -> str:
    if shape.type_name == "structure":
        members = shape.members  # type: ignore[attr-defined]
        unknown = set(value) - set(members)
        assert not unknown, f"{shape.name} has no {unknown}"
        return "".join(f"<{name}>{_render_element(members[name], item)}</{name}>" for name, item in value.items())
    if shape.type_name == "list":
        return "".join(f"<member>{_render_element(shape.member, item)}</member>" for item in value)  # type: ignore[attr-defined]
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(value.isoformat() if isinstance(value, datetime) else str(value))
