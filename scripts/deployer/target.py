"""Where to deploy, and what differs there from AWS."""

from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from .errors import DeployError
from .follow import POLL_SECONDS
from .package import Destination, Runtime


@dataclass(frozen=True)
class Target:
    session: boto3.Session
    # Every client's endpoint; None is AWS.
    endpoint_url: str | None = None
    runtime: Runtime | None = None
    poll_seconds: float = POLL_SECONDS

    def client(self, service: str) -> Any:
        # Nobody's proxy stands between this machine and itself.
        config = Config(proxies={}) if self.endpoint_url else None
        return self.session.client(service, endpoint_url=self.endpoint_url, config=config)

    def destination(self, bucket: str) -> Destination:
        """The bucket's address, the same whoever deploys: it is part of what is deployed."""
        return Destination(bucket, self.endpoint_url or self._s3())

    def _s3(self) -> str:
        region = self.session.region_name
        partition = self.session.get_partition_for_region(region)
        resolver = self.session._session.get_component("endpoint_resolver")
        return f"https://s3.{region}.{resolver.get_partition_dns_suffix(partition)}"


def on_aws(profile: str | None, region: str | None) -> Target:
    """AWS as the user's configuration reaches it; raises ``DeployError`` where that names no region."""
    session = boto3.Session(profile_name=profile, region_name=region)
    if not session.region_name:
        raise DeployError("no region; name a --region, or set one in the AWS configuration")
    return Target(session)
