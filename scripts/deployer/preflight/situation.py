"""The input of every check, and the finding for a failed request."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from scripts.common.clients import ClientFactory
from scripts.common.errors import describe_error, is_denied
from scripts.common.evaluated import Evaluated
from scripts.common.target import Target

from ..finding import Finding, Verdict
from .resources import DeclaredResource


@dataclass(frozen=True)
class Situation:
    """What is to be deployed, where, and by whom. The checks read it from several threads."""

    target: Target
    # The parts of an ARN: `partition`, `region` and `account`.
    place: Mapping[str, str]
    environment: str
    stack_name: str
    # Parameters of the platform's stack: as they will be, and as deployed (empty before the first deployment).
    parameters: Mapping[str, str]
    deployed_parameters: Mapping[str, str]
    resources: tuple[DeclaredResource, ...]
    bootstrap: Evaluated
    # The repository that GitHub's roles trust, as in the settings; empty without one.
    github_repository: str
    # Whether the environment's stack exists and was created.
    is_deployed: bool
    only_plan: bool
    # The prefix of the keys that the deployer uploads to.
    upload_prefix: str
    today: date
    # Whether resources that exist outside the stack are to be imported.
    imports_existing: bool = False

    @property
    def client(self) -> ClientFactory:
        return self.target.client

    @property
    def service_role_arn(self) -> str:
        """The ARN of the role that CloudFormation assumes for the platform's stack; empty without one."""
        role = self.bootstrap.resources.get("CloudFormationRole")
        if role is None:
            return ""
        return "arn:{partition}:iam::{account}:role/{name}".format(**self.place, name=role.properties["RoleName"])


def unknown_finding(subject: str, topic: str, action: str, error: Exception) -> Finding:
    """Return the finding for a failed request, which needs the permission ``action``."""
    if is_denied(error):
        return Finding(
            subject, Verdict.UNKNOWN, f"{topic} could not be checked: {action} is not allowed", f"grant {action}"
        )
    return Finding(subject, Verdict.UNKNOWN, f"{topic} could not be checked: {describe_error(error)}")
