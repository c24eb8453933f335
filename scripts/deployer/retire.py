"""The artifact bucket keeps what a deployed stack or its rollback needs; the rest is marked, and expires.

S3's lifecycle rules know an object's age and tags, not whether a stack needs it. So whatever neither the deployed tree
nor the one before it names gets the tag that the bucket's rule looks for; what is needed again loses it.
"""

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stacks.artifacts import RETIRED

from .package import Destination
from .plan.templates import Tree
from .stack import WORKERS

_RETIRED = {"TagSet": [{"Key": RETIRED, "Value": "true"}]}
_UNTAGGED: Mapping[str, Any] = {"TagSet": []}


def keys(tree: Tree, destination: Destination) -> set[str]:
    """The keys that a tree's templates name, wherever in them."""
    pattern = re.compile(re.escape(destination.prefix) + r"/[0-9a-f]{64}\.\w+")
    found: set[str] = set()
    for template in _templates(tree):
        found.update(pattern.findall(str(template)))
    return found


def retire(s3: Any, destination: Destination, account: str, needed: Iterable[str]) -> int:
    """Mark what is not ``needed``, and take the mark from what is; how many objects were marked."""
    owner = {"Bucket": destination.bucket, "ExpectedBucketOwner": account}
    pages = s3.get_paginator("list_objects_v2").paginate(Prefix=f"{destination.prefix}/", **owner)
    there = {one["Key"] for page in pages for one in page.get("Contents", [])}
    gone = sorted(there - set(needed))

    def tag(key: str, tagging: Mapping[str, Any]) -> None:
        s3.put_object_tagging(Key=key, Tagging=tagging, **owner)

    def revive(key: str) -> None:
        if s3.get_object_tagging(Key=key, **owner)["TagSet"]:
            tag(key, _UNTAGGED)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda key: tag(key, _RETIRED), gone))
        list(pool.map(revive, sorted(there & set(needed))))
    return len(gone)


def _templates(tree: Tree) -> Iterable[object]:
    yield tree.template
    for nested in tree.nested.values():
        yield from _templates(nested)
