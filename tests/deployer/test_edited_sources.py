"""Sources that are edited while a command runs: what is deployed is what was compared, or nothing."""

import re
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from scripts.common.errors import UserError
from scripts.common.packaging import Destination
from scripts.deployer import freshness, upload
from scripts.deployer.package import Package
from scripts.deployer.upload import upload_package
from stacks.compute import layers
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import edit_harmlessly

ARTIFACTS, PLATFORM = "payment-artifacts", "payment-platform-dev"
EDITED = "or what it is generated from, was edited since this command began; "


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what edits the sources: tests share them, so only their digest changes."""
    edits: list[str] = []
    digest_sources = freshness._digest_sources
    monkeypatch.setattr(freshness, "_digest_sources", lambda *paths: digest_sources(*paths) + "".join(edits))
    return lambda: edits.append("edited")


def test_code_that_is_edited_while_the_artifacts_stack_is_deployed_is_not_deployed(
    command: Command, aws: Service, edit: Callable[[], None]
) -> None:
    """Its version would have the digest of another code, and no later deployment could publish it."""
    aws.before["ExecuteChangeSet"] = edit
    refused = command("dev", "--yes", code=1)
    assert re.search(
        rf"{EDITED}already requested: cloudformation:ExecuteChangeSet on {ARTIFACTS}; run it again\n$", refused.stderr
    ), refused.stderr
    assert [stack.name for stack in aws.stacks.values()] == [ARTIFACTS]
    assert all("/bootstrap/" in key for key in aws.objects)


@pytest.mark.parametrize("arguments", [("dev", "--yes"), ("plan", "dev"), ("refactor", "dev", "--yes")])
def test_sources_that_are_edited_before_they_are_packaged_are_not_deployed(
    command: Command, aws: Service, edit: Callable[[], None], arguments: tuple[str, ...]
) -> None:
    add_platform(aws, edit_harmlessly)
    aws.before["DescribeStacks"] = edit
    refused = command(*arguments, code=1)
    assert refused.stderr.endswith(f"{EDITED}nothing was changed; run it again\n")
    assert aws.find_writes() == []


def test_a_layer_is_uploaded_only_under_the_key_of_its_requirements(
    command: Command, aws: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is in the bucket is never replaced, so each later deployment would use the wrong layer."""
    requirements = tmp_path / "requirements.txt"
    text = layers.STRIPE.read_text(encoding="utf-8")
    requirements.write_text(text, encoding="utf-8")
    destination = Destination.for_environment("bucket", command.url, "dev")
    key = destination.digest_key(layers.digest_requirements(requirements), ".zip")
    package = Package(destination, {}, "", "", {key: requirements})
    monkeypatch.setattr(upload, "build_layer", lambda path: path.read_bytes())
    s3 = boto3.client("s3", endpoint_url=command.url, aws_access_key_id="x", aws_secret_access_key="x")
    for edited in (re.sub(r"sha256:\w{8}", "sha256:00000000", text, count=1), f"{text}stripe\n"):
        requirements.write_text(edited, encoding="utf-8")
        with pytest.raises(UserError, match="was edited since it was packaged; no stack was changed; deploy again"):
            upload_package(package, s3, "123456789012", layers=True)
    assert not aws.objects
    requirements.write_text(text, encoding="utf-8")
    assert upload_package(package, s3, "123456789012", layers=True) == 1
