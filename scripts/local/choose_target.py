"""The one place that decides whether an environment is on AWS or on the emulator of this machine.

Every command gets its target from here, so that none reaches another account or Region than the settings name.
"""

from pathlib import Path

from rich.console import Console

from scripts.common.errors import UserError
from scripts.common.suggestion import pin_region
from scripts.common.target import Target, connect_to_aws
from stacks import settings

from . import gaps, server, target
from .runtime import describe_interpreter

LOCAL = "local"


def check_supported(environment: str, command: str) -> None:
    """Raise ``UserError`` if the place of ``environment`` lacks what a command of scripts/deploy.sh needs."""
    if environment == LOCAL and command in gaps.COMMANDS:
        raise UserError(f"{LOCAL} cannot be used with {command}: the AWS emulator {gaps.COMMANDS[command]}")


def check_emulator(environment: str, consequence: str) -> None:
    """Raise ``UserError`` with the consequence if ``environment`` is on the emulator, and that is not running."""
    if environment == LOCAL and server.find_kept_server() is None:
        raise UserError(f"the AWS emulator is not running; {consequence}")


def reach_environment(
    environment: str,
    profile: str | None,
    region: str | None,
    *,
    settings_file: Path = settings.ENVIRONMENTS_FILE,
    announce_start_on: Console | None = None,
) -> Target:
    """Return the target of ``environment``; ``local`` is the running emulator.

    ``announce_start_on`` is a console that announces the emulator, which is then started if it is not running. Raises
    ``UserError`` if it is not running, if no Region is configured, for a profile or Region of ``local``, and if the
    environment belongs to another account or Region by ``settings_file``; and ``SettingsError``.
    """
    if environment != LOCAL:
        rollout = settings.load_rollout(environment, settings_file)
        pin_region(rollout["region"])
        aws = connect_to_aws(profile, region, rollout["region"])
        _refuse_other_place(environment, aws, rollout["account"], rollout["region"])
        return aws
    if profile or region:
        raise UserError("local is the AWS emulator on this machine; it accepts neither --profile nor --region")
    server.isolate_from_user_configuration()
    if announce_start_on is None:
        emulator = server.find_kept_server()
        if emulator is None:
            raise UserError(server.describe_absence())
        return target.emulator_target(emulator)
    running = target.find_or_start_target()
    announce_start_on.print(
        f"The AWS emulator is running at {running.endpoint_url}; stop it with `make local-stop`.", soft_wrap=True
    )
    if notice := describe_interpreter():
        announce_start_on.print(notice, soft_wrap=True)
    return running


def _refuse_other_place(environment: str, aws: Target, account: str, region: str) -> None:
    """Raise ``UserError`` if AWS is another account or Region than the environment's. Empty allows any."""
    setting = f"otherwise change the settings in [{environment}.rollout]"
    if region and aws.region != region:
        raise UserError(
            f"{environment} belongs to Region {region}, and this command would reach {aws.region}; name "
            f"--region {region}, or a --profile of that Region; {setting}"
        )
    # https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html needs no permission.
    if account and aws.account != account:
        raise UserError(
            f"{environment} belongs to account {account}, and this command would reach {aws.account} as "
            f"{aws.identity['Arn']}; name a --profile of account {account}; {setting}"
        )
