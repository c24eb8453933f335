"""Traces carry ids and times only: X-Ray is told of a call by Lambda and Step Functions, and nothing by code of ours.

An annotation or a piece of metadata would be payment data in a service that no key of ours encrypts and that keeps it
for thirty days. https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html
"""

import pytest

from stacks.compute import function_code

# The SDK and its successors, what they are called by, and what a document for the daemon has.
TELLS_XRAY = ("xray", "x-ray", "opentelemetry", "powertools", "annotation(", "put_metadata", "segment", "_x_amzn_trace")
SOURCES = {
    **dict(function_code.list_files()),
    **{f"layer/{name}": content for name, content in function_code.list_files(function_code.LAYER)},
}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_no_code_of_ours_tells_xray_anything(name: str) -> None:
    """Seen to fail with an import of the SDK, and with its library in the layer."""
    text = SOURCES[name].decode().lower()
    assert [word for word in TELLS_XRAY if word in text] == []
