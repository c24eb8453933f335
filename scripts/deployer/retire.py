"""The artifact bucket keeps what a deployed stack or its rollback needs; the rest goes, and can be had back a while.

S3's lifecycle rules know how old an object is, not whether a stack needs it. So whatever neither the deployed tree nor
the one before it names is deleted; the bucket has versions, and its rules take a deleted one thirty days later.
"""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from scripts.common.packaging import Destination
from scripts.common.templates import Tree

from .stack import WORKERS


def find_artifact_keys(tree: Tree, destination: Destination) -> set[str]:
    """The keys that a tree's templates name, wherever in them."""
    pattern = re.compile(re.escape(destination.prefix) + r"/[0-9a-f]{64}(?:\.\w+)+")
    found: set[str] = set()
    for template in _walk_templates(tree):
        found.update(pattern.findall(str(template)))
    return found


def delete_unneeded_artifacts(s3: Any, destination: Destination, account: str, needed: Iterable[str]) -> int:
    """Delete what is not ``needed``; how many objects that were."""
    owner = {"Bucket": destination.bucket, "ExpectedBucketOwner": account}
    pages = s3.get_paginator("list_objects_v2").paginate(Prefix=f"{destination.prefix}/", **owner)
    there = {one["Key"] for page in pages for one in page.get("Contents", [])}
    gone = sorted(there - set(needed))
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda key: s3.delete_object(Key=key, **owner), gone))
    return len(gone)


def _walk_templates(tree: Tree) -> Iterable[object]:
    yield tree.template
    for nested in tree.nested.values():
        yield from _walk_templates(nested)
