"""The environment to deploy, its settings and the options of the command, and the result of a deployment."""

from dataclasses import dataclass, field
from pathlib import Path

from scripts.common.paths import TEMPLATES

ARTIFACTS_STACK = "payment-artifacts"


@dataclass(frozen=True)
class Rollout:
    """The values of ``settings.Rollout``."""

    account: str = ""
    region: str = ""
    termination_protection: bool = False
    stack_policy: bool = False
    rollback_on_alarms: bool = True
    monitoring_minutes: int = 0
    express: bool = False
    code_only: bool = False

    @property
    def protections(self) -> tuple[str, ...]:
        """The settings that protect the environment from loss, by their names."""
        return tuple(name for name in ("termination_protection", "stack_policy") if getattr(self, name))


@dataclass(frozen=True)
class DeploymentOptions:
    environment: str
    # Of the platform's parent template, and of the artifact bucket's.
    parameters: dict[str, str]
    bootstrap: dict[str, str] = field(default_factory=dict)
    rollout: Rollout = field(default_factory=Rollout)
    templates: Path = TEMPLATES
    only_plan: bool = False
    # The file to save the plan in, for a later apply.
    out: Path | None = None
    # The file that keeps the templates of the last deployment from this machine.
    record: Path | None = None
    # Names of resources that may be deleted or replaced with their data.
    destroys: tuple[str, ...] = ()
    wait: bool = False
    adopt: bool = False
    # Whether CloudFormation completes without waiting for ready resources, keeps what succeeded when a resource fails,
    # and checks nothing before the deployment.
    express: bool = False
    keep_failed: bool = False
    skip_validation: bool = False
    # Whether the functions get new code without a deployment.
    code_only: bool = False
    # Whether to import the existing resources that the stacks would create, instead of refusing to deploy.
    imports_existing: bool = False
    # Whether to compare with the actual state of each resource, and to revert what was changed outside CloudFormation.
    revert_drift: bool = False

    @property
    def stack_name(self) -> str:
        return stack_name(self.environment)


@dataclass(frozen=True)
class ArtifactsResult:
    """What a deployment has made of the artifacts stack."""

    # "updated", "kept" if it still has permissions that nothing needs, or "continues" if its update was not watched to
    # its end.
    result: str
    # A sentence that names the stack.
    message: str


@dataclass(frozen=True)
class Deployed:
    """A stack's outputs, and whether it was changed (or would be, by a plan)."""

    outputs: dict[str, str]
    changed: bool
    # What to say instead of "deployed".
    message: str = ""
    # None if the deployment has not changed the artifacts stack.
    artifacts: ArtifactsResult | None = None
    # Whether an output was added, removed, or has another value than before.
    have_outputs_changed: bool = False
    # The id of the last event of the platform's stack in its second change set, if there was one.
    last_event: str = ""


def stack_name(environment: str) -> str:
    return f"payment-platform-{environment}"
