"""The purge of a retained bucket: on the emulator, and by S3's refusals, which the emulator does not have."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner

from scripts.common.errors import UserError
from scripts.common.paths import TEMPLATES
from scripts.deployer.cli import destroy
from scripts.deployer.purge.leftover import Leftover
from scripts.deployer.purge.services import Buckets
from scripts.local import server, target

ACCOUNT, BUCKET = "123456789012", "payment-statements-dev"
TAGS = {"ManagedBy": "payment-platform", "Environment": "dev"}
OWNER = {"Bucket": BUCKET, "ExpectedBucketOwner": ACCOUNT}
LEFTOVER = Leftover("AWS::S3::Bucket", BUCKET, BUCKET, TAGS)


@pytest.fixture(scope="module")
def emulator() -> Iterator[server.Server]:
    with server.run_server() as running:
        yield running


@pytest.fixture(scope="module")
def s3(emulator: server.Server) -> Any:
    return target.emulator_target(emulator).client("s3")


@pytest.fixture
def stubbed() -> Iterator[tuple[Any, Stubber]]:
    client = boto3.client("s3", "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stubber:
        yield client, stubber


@pytest.mark.slow
def test_a_bucket_is_counted_and_deleted_with_every_version_of_its_objects(s3: Any) -> None:
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in TAGS.items()]})
    for key, text in (("statement", b"first"), ("statement", b"second"), ("deleted", b"third")):
        s3.put_object(Bucket=BUCKET, Key=key, Body=text)
    s3.delete_object(Bucket=BUCKET, Key="deleted")
    buckets = Buckets(s3, server.ACCOUNT)
    leftover = buckets.find(BUCKET)
    assert leftover
    assert (leftover.tags, leftover.contents) == (TAGS, "4 object versions, 16 bytes")
    buckets.delete(leftover)
    assert buckets.find(BUCKET) is None


@pytest.mark.slow
def test_destroy_with_purge_lists_and_deletes_a_retained_bucket(
    emulator: server.Server, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user adds one: to the stack of the data. Its stack has been deleted before."""
    shutil.copytree(TEMPLATES, tmp_path / "templates")
    template = tmp_path / "templates" / "data.yaml"
    bucket = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": {"BucketName": BUCKET}}
    resources = f"\nResources:\n  Statements: {json.dumps(bucket)}\n"
    template.write_text(template.read_text().replace("\nResources:\n", resources))
    monkeypatch.setattr(destroy, "TEMPLATES", tmp_path / "templates")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in TAGS.items()]})
    s3.put_object(Bucket=BUCKET, Key="statement", Body=b"first")
    for name, value in server.CREDENTIALS.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", server.REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.url)
    runner = CliRunner()
    refused = runner.invoke(destroy.main, ["dev", "--purge", "--yes"])
    assert refused.exit_code == 1
    assert refused.output == (
        f"To purge: {BUCKET} (AWS::S3::Bucket), 1 object version, 5 bytes: its objects with all their versions will be "
        f"lost\ndestroy: --yes does not cover data loss; to confirm it, add --destroys {BUCKET}\n"
    )
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1
    purged = runner.invoke(destroy.main, ["dev", "--purge", "--yes", "--destroys", BUCKET])
    assert purged.exit_code == 0
    assert purged.output.splitlines()[1:] == [
        f"Purged {BUCKET} (AWS::S3::Bucket)",
        "payment-platform-dev: there was no stack; 1 bucket purged",
    ]
    assert Buckets(s3, server.ACCOUNT).find(BUCKET) is None


@pytest.mark.slow
def test_a_bucket_without_tags_is_not_this_environment_s(s3: Any) -> None:
    s3.create_bucket(Bucket="untagged")
    leftover = Buckets(s3, server.ACCOUNT).find("untagged")
    assert leftover
    assert not leftover.belongs_to("dev")


@pytest.mark.parametrize(
    ("status", "obstacle"),
    [(403, "belongs to another account, or s3:ListBucket on it is not allowed"), (301, "is in another Region")],
)
def test_a_bucket_of_another_account_or_region_is_kept(
    stubbed: tuple[Any, Stubber], status: int, obstacle: str
) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html"""
    client, stubber = stubbed
    stubber.add_client_error("head_bucket", str(status), http_status_code=status, expected_params=OWNER)
    leftover = Buckets(client, ACCOUNT).find(BUCKET)
    assert leftover
    assert (leftover.obstacle, leftover.keys) == (obstacle, None)


def test_a_bucket_that_s3_found_in_another_region_is_kept(stubbed: tuple[Any, Stubber]) -> None:
    client, stubber = stubbed
    stubber.add_response("head_bucket", {"BucketRegion": "us-east-1"}, OWNER)
    leftover = Buckets(client, ACCOUNT).find(BUCKET)
    assert leftover
    assert leftover.obstacle == "is in another Region, us-east-1"


def add_deletion(stubber: Stubber, answer: dict[str, Any]) -> None:
    version = {"Key": "statement-of-alice", "VersionId": "v1"}
    stubber.add_response("list_object_versions", {"Versions": [version | {"Size": 5}]}, OWNER)
    request = OWNER | {"Delete": {"Objects": [version], "Quiet": True}}
    stubber.add_response("delete_objects", answer, request)


def test_a_locked_version_is_named_without_its_key(stubbed: tuple[Any, Stubber]) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html"""
    client, stubber = stubbed
    error = {"Key": "statement-of-alice", "VersionId": "v1", "Code": "AccessDenied", "Message": "Access Denied"}
    add_deletion(stubber, {"Errors": [error]})
    with pytest.raises(
        UserError, match="keeps 1 version, the first of them v1: AccessDenied: Access Denied"
    ) as refused:
        Buckets(client, ACCOUNT).delete(LEFTOVER)
    assert "alice" not in str(refused.value)


def test_a_bucket_that_is_still_written_to_is_not_deleted(stubbed: tuple[Any, Stubber]) -> None:
    client, stubber = stubbed
    add_deletion(stubber, {})
    stubber.add_client_error("delete_bucket", "BucketNotEmpty", http_status_code=409, expected_params=OWNER)
    with pytest.raises(UserError, match="stop what writes to it, and run it again"):
        Buckets(client, ACCOUNT).delete(LEFTOVER)
