"""What is asked for, and what comes of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.common.paths import TEMPLATES

from .rollout import Rollout

ARTIFACTS_STACK = "payment-artifacts"

# Asked before anything is changed: the question, and the names of what would be lost with its data.
Confirm = Callable[[str, Sequence[str]], bool]


@dataclass(frozen=True)
class Order:
    """What is asked for."""

    environment: str
    # Of the platform's parent template, and of the artifact bucket's.
    parameters: dict[str, str]
    bootstrap: dict[str, str] = field(default_factory=dict)
    rollout: Rollout = field(default_factory=Rollout)
    templates: Path = TEMPLATES
    only_plan: bool = False
    # Where the plan is saved for a later --apply, and where the templates deployed last are kept.
    out: Path | None = None
    record: Path | None = None
    # What may go with its data.
    destroys: tuple[str, ...] = ()
    wait: bool = False
    adopt: bool = False

    @property
    def stack_name(self) -> str:
        return stack_name(self.environment)


@dataclass(frozen=True)
class Deployed:
    """A stack's outputs, and whether anything had to be changed for them, or would have to be."""

    outputs: dict[str, str]
    changed: bool


def stack_name(environment: str) -> str:
    return f"payment-platform-{environment}"
