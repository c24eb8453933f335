"""How an environment is rolled out, beside what is rolled out."""

from dataclasses import dataclass
from pathlib import Path

from stacks import settings


@dataclass(frozen=True)
class Rollout:
    """``settings.Rollout`` as values."""

    termination_protection: bool = False
    stack_policy: bool = False
    rollback_on_alarms: bool = True
    monitoring_minutes: int = 0


def load_rollout(environment: str, path: Path = settings.ENVIRONMENTS_FILE) -> Rollout:
    """Raises ``SettingsError`` for an unknown key and a value that is not allowed."""
    return Rollout(**settings.load_rollout(environment, path))
