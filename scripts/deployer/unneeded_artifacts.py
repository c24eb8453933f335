"""Deletes the artifacts that neither the deployed templates nor the previous ones name.

S3's lifecycle rules know the age of an object, not whether a stack needs it. The bucket is versioned, and its rules
remove a deleted object for good only thirty days later.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from scripts.common.clients import S3Client
from scripts.common.packaging import Destination
from scripts.common.templates import Template, Tree
from scripts.common.threads import map_in_threads


def find_artifact_keys(tree: Tree, destination: Destination) -> set[str]:
    """Return the keys that occur anywhere in the templates of a tree."""
    pattern = re.compile(re.escape(destination.prefix) + r"/[0-9a-f]{64}(?:\.\w+)+")
    return {key for template in _walk_templates(tree) for key in pattern.findall(str(template))}


def find_unneeded_artifacts(
    s3: S3Client,
    destination: Destination,
    account: str,
    kept_keys: Iterable[str],
    *,
    least_age: timedelta = timedelta(),
) -> frozenset[str]:
    """Return the keys of the objects that are not in ``kept_keys`` and have at least this age."""
    return list_artifacts(s3, destination, account, least_age=least_age).difference(kept_keys)


def list_artifacts(
    s3: S3Client, destination: Destination, account: str, *, least_age: timedelta = timedelta()
) -> frozenset[str]:
    """Return the keys of all objects of a destination that have at least this age."""
    # Without one, the clock of this machine decides nothing.
    latest = datetime.now(UTC) - least_age
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=destination.bucket, ExpectedBucketOwner=account, Prefix=f"{destination.prefix}/"
    )
    items = [item for page in pages for item in page.get("Contents", [])]
    return frozenset(item["Key"] for item in items if not least_age or item["LastModified"] <= latest)


def delete_artifacts(s3: S3Client, destination: Destination, account: str, keys: Iterable[str]) -> None:
    bucket = destination.bucket
    map_in_threads(lambda key: s3.delete_object(Bucket=bucket, ExpectedBucketOwner=account, Key=key), keys)


def _walk_templates(tree: Tree) -> Iterator[Template]:
    yield tree.template
    for nested in tree.nested.values():
        yield from _walk_templates(nested)
