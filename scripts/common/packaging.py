"""What packaging takes from the place of deployment: where files go, and what its runtime adds to the functions."""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

_DIGEST = re.compile(r"\bcode-[0-9a-f]{16}\b")
# A file for a zip: path inside it, content, mode.
ZipEntry = tuple[str, bytes, int]


@dataclass(frozen=True)
class Destination:
    """Where files are uploaded. ``endpoint`` is the URL of S3, which depends on Region and partition."""

    bucket: str
    endpoint: str
    # One prefix for each environment, because each environment's files are kept and deleted by themselves.
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
    """Changes to the functions for a place that does not run them like AWS; empty for AWS."""

    properties: dict[str, Any] = field(default_factory=dict)
    files: tuple[ZipEntry, ...] = ()
    # Environment variables in addition to the functions' own.
    variables: dict[str, str] = field(default_factory=dict)

    def extend_digest(self, description: str) -> str:
        """Return a version's description whose digest covers the properties and files, so that others are published.

        Without it, functions that another tool deployed as they are would stay live, as a version is published for
        another description only. The variables, such as the port of a server, differ from run to run.
        """
        if not (self.properties or self.files):
            return description
        changes = repr((sorted(self.properties.items()), self.files))
        return _DIGEST.sub(lambda match: f"code-{_digest_text(match[0] + changes)}", description)


def _digest_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
