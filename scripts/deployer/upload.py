"""Put the package's files into the artifact bucket, those that are not there yet.

A key names its content, and nothing that is there can be overwritten: the bucket's policy takes conditional writes
only. But whoever may write could have written first, under the name of a release to come. So what is found is compared,
by the checksum that S3 made of it, with what belongs there.
"""

import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.errors import UserError

from .layer import build_layer
from .package import Package


def upload_package(package: Package, s3: Any, account: str, *, layers: bool = False) -> int:
    """How many files were uploaded. ``layers`` are built only on request: no stack without them asks for them.

    Raises ``UserError`` for a file in the bucket that is not what its name says.
    """
    # The bucket's name could be guessed: never write to somebody else's.
    owner = {"Bucket": package.destination.bucket, "ExpectedBucketOwner": account}

    def upload_file(key: str, content: Callable[[], bytes]) -> bool:
        body = content()
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        if _is_uploaded(s3, key, checksum, owner):
            return False
        try:
            s3.put_object(Key=key, Body=body, ChecksumSHA256=checksum, IfNoneMatch="*", **owner)
        except ClientError as error:
            # Somebody else was quicker.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                raise
            return not _is_uploaded(s3, key, checksum, owner)
        return True

    contents: dict[str, Callable[[], bytes]] = {key: partial(bytes, body) for key, body in package.files.items()}
    if layers:
        contents |= {key: partial(build_layer, requirements) for key, requirements in package.layers.items()}
    with ThreadPoolExecutor(max_workers=8) as pool:
        return sum(pool.map(upload_file, contents, contents.values()))


def _is_uploaded(s3: Any, key: str, checksum: str, owner: dict[str, str]) -> bool:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html"""
    try:
        found = s3.head_object(Key=key, ChecksumMode="ENABLED", **owner).get("ChecksumSHA256")
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise
    if found != checksum:
        raise UserError(
            f"s3://{owner['Bucket']}/{key} does not match the checksum in its name; find out who uploaded it, "
            f"and delete it: aws s3api delete-object --bucket {owner['Bucket']} --key {key}"
        )
    return True
