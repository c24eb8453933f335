"""What a place decides of packaging: where the files go, and what its runtime adds to the functions."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

# A file for a zip: path inside it, content, mode.
ZipEntry = tuple[str, bytes, int]


@dataclass(frozen=True)
class Destination:
    """Where the files will be. ``endpoint`` is S3's own URL, which differs by region and partition."""

    bucket: str
    endpoint: str
    # Of the platform in one environment: another one's files are needed, or not, for themselves.
    prefix: str

    @classmethod
    def for_environment(cls, bucket: str, endpoint: str, environment: str) -> "Destination":
        return cls(bucket, endpoint, f"payment-platform/{environment}")

    def content_key(self, content: bytes, suffix: str) -> str:
        return self.digest_key(hashlib.sha256(content).hexdigest(), suffix)

    def digest_key(self, digest: str, suffix: str) -> str:
        return f"{self.prefix}/{digest}{suffix}"

    def object_url(self, key: str) -> str:
        return f"{self.endpoint}/{self.bucket}/{key}"


@dataclass(frozen=True)
class Runtime:
    """What is changed on the way for a place that does not run functions as AWS does; nothing, for AWS."""

    properties: dict[str, Any] = field(default_factory=dict)
    files: tuple[ZipEntry, ...] = ()
    # Environment variables of the functions beside their own.
    variables: dict[str, str] = field(default_factory=dict)
