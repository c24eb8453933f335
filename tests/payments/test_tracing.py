"""Traces hold ids and times only: Lambda and Step Functions report calls to X-Ray, and our code reports nothing.

An annotation or metadata would put payment data into a service that none of our keys encrypts and that keeps it for
thirty days. https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html
"""

import pytest

from stacks.compute import function_code

# Names of the SDK and its successors, of their calls, and of the fields of a document for the daemon.
XRAY_WORDS = ("xray", "x-ray", "opentelemetry", "powertools", "annotation(", "put_metadata", "segment", "_x_amzn_trace")
SOURCES = {
    **dict(function_code.list_files()),
    **{f"layer/{name}": content for name, content in function_code.list_files(function_code.LAYER)},
}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_our_code_reports_nothing_to_xray(name: str) -> None:
    text = SOURCES[name].decode().lower()
    assert [word for word in XRAY_WORDS if word in text] == []
