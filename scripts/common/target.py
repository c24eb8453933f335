"""The place that a command works on: AWS or an emulator, and what an emulator lacks."""

import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .clients import ClientFactory
from .connections import Connections
from .errors import UserError
from .packaging import Destination, Runtime
from .requests import RequestLog
from .watch import Watch

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

# Seconds between two polls of a deployment.
POLL_SECONDS = 2.0
# An emulator does not throttle, and deploys quickly.
EMULATOR_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Target:
    session: "boto3.Session"
    # The endpoint of every client; None for AWS.
    endpoint_url: str | None = None
    runtime: Runtime | None = None
    poll_seconds: float = POLL_SECONDS
    # What AWS does and this place does not, by name, with a reason that completes "the emulator ...".
    gaps: Mapping[str, str] = field(default_factory=dict)
    # Returns why the place, an emulator, is gone with all that was deployed, as a sentence; empty as long as it exists.
    find_loss: Callable[[], str] = field(default=lambda: "", repr=False, compare=False)
    # What its clients have requested.
    requests: RequestLog = field(default_factory=RequestLog, init=False, repr=False, compare=False)
    # The operation that the command watches.
    watch: Watch = field(default_factory=Watch, init=False, repr=False, compare=False)
    # How long they wait for an endpoint.
    connections: Connections = field(default_factory=Connections, repr=False, compare=False)
    # Clients may be shared between threads, but a session must not create them in several threads at the same time.
    # https://boto3.amazonaws.com/v1/documentation/api/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
    _clients: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _lock: Any = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def client(self) -> ClientFactory:
        """Returns the client of a service: always the same one, or a new one if it is given a ``config`` of its own."""
        return cast(ClientFactory, self._find_client)

    def _find_client(self, service: Any, config: "Config | None" = None) -> Any:
        with self._lock:
            if config:
                return self._create_client(service, config)
            if service not in self._clients:
                self._clients[service] = self._create_client(service)
            return self._clients[service]

    def _create_client(self, service: Any, config: "Config | None" = None) -> Any:
        from botocore.config import Config

        usual = _retry_config().merge(self.connections.make_config(service))
        if self.endpoint_url:
            # Requests to this machine must not go through a proxy.
            usual = usual.merge(Config(proxies={}))
        try:
            client = self.session.client(
                service, endpoint_url=self.endpoint_url, config=usual.merge(config) if config else usual
            )
        except ValueError as error:  # of a variable or a profile
            raise UserError(f"the AWS configuration has a value that cannot be used: {error}") from None
        self.requests.watch(client)
        self.connections.watch(client.meta.events, client.meta.service_model.service_id.hyphenize())
        return client

    @property
    def region(self) -> str:
        return str(self.session.region_name)

    @property
    def is_emulator(self) -> bool:
        """Whether an emulator of this machine answers, or one that AWS_ENDPOINT_URL names."""
        return bool(self.endpoint_url or os.environ.get("AWS_ENDPOINT_URL"))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The response of STS GetCallerIdentity: ``Account``, ``Arn`` and ``ResponseMetadata``."""
        return dict(self.client("sts").get_caller_identity())

    @property
    def account(self) -> str:
        return str(self.identity["Account"])

    def destination(self, bucket: str, environment: str) -> Destination:
        """Return where files are uploaded. The URL is part of the templates, so it does not depend on who deploys."""
        s3 = self.endpoint_url or f"https://s3.{self.region}.{_dns_suffix_of(self.region)}"
        return Destination.for_environment(bucket, s3, environment)

    def pseudo_parameters(self) -> dict[str, str]:
        return pseudo_parameters(self.account, self.region)


def pseudo_parameters(account: str, region: str) -> dict[str, str]:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/pseudo-parameter-reference.html"""
    return {
        "AWS::AccountId": account,
        "AWS::Region": region,
        "AWS::Partition": _partition_of(region),
        "AWS::URLSuffix": _dns_suffix_of(region),
    }


def _partition_of(region: str) -> str:
    return str(_find_partition(region)["id"])


def _dns_suffix_of(region: str) -> str:
    return str(_find_partition(region)["outputs"]["dnsSuffix"])


@cache
def _find_partition(region: str) -> dict[str, Any]:
    """Return the entry of the Region in the SDK's list, without the SDK, so that an offline plan does not wait for it.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-endpoints.html
    """
    import botocore  # the package alone is empty

    file = Path(botocore.__file__).with_name("data") / "partitions.json"
    partitions = json.loads(file.read_text(encoding="utf-8"))["partitions"]
    for partition in partitions:
        if region in partition["regions"] or re.search(partition["regionRegex"], region):
            return dict(partition)
    raise UserError(f"{region}: no such Region is known; see `aws account list-regions`")


def _retry_config() -> "Config":
    """Retry more often than by default, because CloudFormation throttles early; AWS_MAX_ATTEMPTS takes precedence."""
    from botocore.config import Config

    if "AWS_MAX_ATTEMPTS" in os.environ:
        return Config()
    return Config(retries={"mode": "standard", "total_max_attempts": 10})


def connect_to_aws(profile: str | None, region: str | None, default_region: str = "") -> Target:
    """Return AWS as the user has configured it, in the default Region if none is configured.

    Raises ``UserError`` if there is no default either.
    """
    import boto3
    import botocore.session

    core, connections = botocore.session.Session(), Connections()
    # Where credentials come from, such as IAM Identity Center, is asked by clients that the SDK creates.
    core.set_default_client_config(_retry_config().merge(connections.make_config("sts")))
    connections.watch(core.get_component("event_emitter"))
    # The AWS CLI reads AWS_REGION, boto3 does not.
    session = boto3.Session(
        botocore_session=core, profile_name=profile, region_name=region or os.environ.get("AWS_REGION") or None
    )
    if not session.region_name and default_region:
        core.set_config_variable("region", default_region)
    if not session.region_name:
        raise UserError("no region; name a --region, or set AWS_REGION or one in the AWS configuration")
    poll_seconds = EMULATOR_POLL_SECONDS if "AWS_ENDPOINT_URL" in os.environ else POLL_SECONDS
    return Target(session, poll_seconds=poll_seconds, connections=connections)
