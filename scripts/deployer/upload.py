"""Step 3: put the package's files into the artifact bucket, those that are not there yet."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from .package import Package, build_layer


def upload(package: Package, s3: Any, account: str, *, layers: bool = False) -> int:
    """How many files were uploaded. A key names its content, so what is there is right.

    ``layers`` are built and uploaded only on request: no stack without them asks for them.
    """
    # The bucket's name could be guessed: never write to somebody else's.
    owner = {"Bucket": package.destination.bucket, "ExpectedBucketOwner": account}

    def put(key: str, content: Callable[[], bytes]) -> bool:
        try:
            # One that was retired is about to expire: it is put anew, without its tag.
            if not s3.head_object(Key=key, **owner).get("TagCount"):
                return False
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
        s3.put_object(Key=key, Body=content(), **owner)
        return True

    contents: dict[str, Callable[[], bytes]] = {key: partial(bytes, body) for key, body in package.files.items()}
    if layers:
        contents |= {key: partial(build_layer, requirements) for key, requirements in package.layers.items()}
    with ThreadPoolExecutor(max_workers=8) as pool:
        return sum(pool.map(put, contents, contents.values()))
