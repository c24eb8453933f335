"""Where to deploy, and what differs there from AWS."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import boto3
from botocore.config import Config

from scripts.common.packaging import Destination, Runtime

from .errors import UserError

# How often a deployment is looked at.
POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Target:
    session: boto3.Session
    # Every client's endpoint; None is AWS.
    endpoint_url: str | None = None
    runtime: Runtime | None = None
    poll_seconds: float = POLL_SECONDS
    # What this place does not do and AWS does, by name, each with a reason that completes "the emulator ...".
    gaps: Mapping[str, str] = field(default_factory=dict)

    def client(self, service: str, own: Config | None = None) -> Any:
        """``own`` comes before what is usual here."""
        # Nobody's proxy stands between this machine and itself.
        config = Config(proxies={}) if self.endpoint_url else _retry_config()
        session: Any = self.session
        return session.client(service, endpoint_url=self.endpoint_url, config=config.merge(own) if own else config)

    @property
    def region(self) -> str:
        return str(self.session.region_name)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """STS's whole answer: ``Account``, ``Arn`` and when it was given."""
        return dict(self.client("sts").get_caller_identity())

    @property
    def account(self) -> str:
        return str(self.identity["Account"])

    def destination(self, bucket: str, environment: str) -> Destination:
        """The bucket's address, the same whoever deploys: it is part of what is deployed."""
        s3 = self.endpoint_url or f"https://s3.{self.region}.{_dns_suffix_of(self.region)}"
        return Destination.for_environment(bucket, s3, environment)

    def pseudo_parameters(self) -> dict[str, str]:
        return pseudo_parameters(self.account, self.region)


def pseudo_parameters(account: str, region: str) -> dict[str, str]:
    """Their values: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/pseudo-parameter-reference.html"""
    return {
        "AWS::AccountId": account,
        "AWS::Region": region,
        "AWS::Partition": _partition_of(region),
        "AWS::URLSuffix": _dns_suffix_of(region),
    }


# A session of its own reads the list of all endpoints anew, which takes a twentieth of a second.
@cache
def _partition_of(region: str) -> str:
    return str(boto3.Session().get_partition_for_region(region))


@cache
def _dns_suffix_of(region: str) -> str:
    """The domain of the partition that the region is in."""
    session = boto3.Session()
    resolver = session._session.get_component("endpoint_resolver")
    return str(resolver.get_partition_dns_suffix(session.get_partition_for_region(region)))


def _retry_config() -> Config:
    """More patience than the SDK has by itself: CloudFormation throttles soon. The user's own setting comes first."""
    own = "AWS_MAX_ATTEMPTS" in os.environ
    return Config() if own else Config(retries={"mode": "standard", "total_max_attempts": 10})


def connect_to_aws(profile: str | None, region: str | None) -> Target:
    """AWS as the user's configuration reaches it; raises ``UserError`` where that names no region."""
    # The AWS CLI reads AWS_REGION, boto3 does not.
    session = boto3.Session(profile_name=profile, region_name=region or os.environ.get("AWS_REGION"))
    if not session.region_name:
        raise UserError("no region; name a --region, or set AWS_REGION or one in the AWS configuration")
    # An emulator is not throttled, and done soon.
    quick = {"poll_seconds": 0.2} if "AWS_ENDPOINT_URL" in os.environ else {}
    return Target(session, **quick)  # type: ignore[arg-type]
