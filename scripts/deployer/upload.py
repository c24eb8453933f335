"""Uploads the package's files that are not in the artifact bucket yet.

A key names its content and cannot be overwritten, because the bucket's policy allows conditional writes only. But
another file may have been written under the key of a future release, so the checksums of existing files are compared.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from botocore.exceptions import ClientError

from scripts.common.clients import S3Client
from scripts.common.errors import UserError
from scripts.common.requests import NO_STACK
from scripts.common.suggestion import complete_aws_commands
from scripts.common.threads import map_in_threads
from scripts.common.waiting import poll_with_backoff
from stacks.compute.layers import RequirementError, digest_requirements

from .layer import build_layer
from .package import Package
from .unneeded_artifacts import list_artifacts

# S3 asks to repeat an upload that conflicts with another one.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
LONGEST_CONFLICT_SECONDS = 30


def upload_package(package: Package, s3: S3Client, account: str, *, layers: bool = False) -> int:
    """Return how many files were uploaded. ``layers`` are built on request only, for the stacks that need them.

    Raises ``UserError`` for a file in the bucket whose content is not the one that its key names.
    """
    bucket = package.destination.bucket

    def upload_file(key: str, read_content: Callable[[], bytes]) -> bool:
        content = read_content()
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        if _is_uploaded(s3, bucket, account, key, checksum):
            return False
        for _ in poll_with_backoff(LONGEST_CONFLICT_SECONDS):
            try:
                s3.put_object(
                    Bucket=bucket,
                    # Somebody else may have guessed the bucket's name and created it.
                    ExpectedBucketOwner=account,
                    Key=key,
                    Body=content,
                    ChecksumSHA256=checksum,
                    IfNoneMatch="*",
                )
                return True
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                    raise
            # Another deployment has uploaded it meanwhile (412), or is uploading it, or has deleted it (409).
            if _is_uploaded(s3, bucket, account, key, checksum):
                return False
        raise UserError(
            f"s3://{bucket}/{key} could not be uploaded, because other uploads of it conflict with this one for "
            f"{LONGEST_CONFLICT_SECONDS} seconds; {NO_STACK}; deploy again"
        )

    contents: dict[str, Callable[[], bytes]] = {key: partial(bytes, content) for key, content in package.files.items()}
    if layers:
        contents |= {
            key: partial(_build_packaged_layer, package, key, requirements)
            for key, requirements in package.layers.items()
        }
    return sum(map_in_threads(upload_file, contents, contents.values()))


def _build_packaged_layer(package: Package, key: str, requirements: Path) -> bytes:
    """Raises ``UserError`` unless the layer is the one that the key names: it could never be replaced."""
    content = build_layer(requirements)
    try:
        is_edited = package.destination.digest_key(digest_requirements(requirements), ".zip") != key
    except RequirementError:
        is_edited = True
    if is_edited:
        raise UserError(f"{requirements}: was edited since it was packaged; {NO_STACK}; deploy again")
    return content


def upload_missing(package: Package, s3: S3Client, account: str, *, layers: bool = False) -> int:
    """Upload again the files of an uploaded package that are in the bucket no longer, and return how many.

    A deployment deletes what it does not need unless it sees the change set of another one. So whoever has created a
    change set calls this: its execution reads the code, which may have been deleted by one that looked before. Without
    a template, CloudFormation has refused the change set.
    """
    uploaded_keys = list_artifacts(s3, package.destination, account)
    missing = replace(
        package,
        files={key: content for key, content in package.files.items() if key not in uploaded_keys},
        layers={key: requirements for key, requirements in package.layers.items() if key not in uploaded_keys},
    )
    return upload_package(missing, s3, account, layers=layers) if missing.files or layers else 0


def _is_uploaded(s3: S3Client, bucket: str, account: str, key: str, checksum: str) -> bool:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html"""
    try:
        uploaded = s3.head_object(Bucket=bucket, ExpectedBucketOwner=account, Key=key, ChecksumMode="ENABLED")
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    if uploaded.get("ChecksumSHA256") != checksum:
        delete = complete_aws_commands(f"aws s3api delete-object --bucket {bucket} --key {key}")
        raise UserError(
            f"s3://{bucket}/{key} does not match the checksum in its name; find out who uploaded it, and delete it: "
            f"{delete}"
        )
    return True
