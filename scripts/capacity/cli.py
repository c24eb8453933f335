"""The command scripts/capacity.sh."""

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.common.command import end_silently_if_unread
from scripts.common.suggestion import repeat_options
from scripts.common.terminal import create_console, echo
from scripts.deployer.cli.common import HELP, CommonOptions, ExitsWith1, print_json_error, settings_option
from stacks import settings

if TYPE_CHECKING:
    from .account import Readings
    from .design import Design
    from .limits import Limits
    from .workload import Workload

NAME = "capacity"
# Where nothing names a Region.
DEFAULT_REGION = "us-east-1"


class PositiveNumber(click.ParamType[float]):
    """A finite number above ``lowest``, or equal to it if it may be."""

    name = "number"

    def __init__(self, lowest: float = 0.0, highest: float = math.inf, *, allows_lowest: bool = False) -> None:
        self._lowest, self._highest, self._allows_lowest = lowest, highest, allows_lowest

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number, such as 50 or 0.5; it has no unit", param, ctx)
        is_above = number >= self._lowest if self._allows_lowest else number > self._lowest
        if not math.isfinite(number) or not is_above or number > self._highest:
            above = "at least" if self._allows_lowest else "above"
            highest = "" if math.isinf(self._highest) else f" and at most {self._highest:g}"
            self.fail(f"{value} is not a finite number {above} {self._lowest:g}{highest}", param, ctx)
        return number


@click.command(cls=ExitsWith1, context_settings=HELP)
@click.argument("environment", envvar="PAYMENT_ENV", required=False)
@click.option("--env", "named_environment", metavar="ENVIRONMENT", help="The environment, in place of the argument.")
@click.option("--per-second", type=PositiveNumber(), required=True, help="Payments a second, on average.")
@click.option(
    "--peak-factor",
    type=PositiveNumber(1, allows_lowest=True),
    default=3,
    show_default=True,
    help="How many times the average the peak is.",
)
@click.option(
    "--gateway-seconds",
    type=PositiveNumber(0, allows_lowest=True),
    default=0.5,
    show_default=True,
    help="How long the gateway takes to answer.",
)
@click.option(
    "--declined",
    type=PositiveNumber(0, 100, allows_lowest=True),
    default=5,
    show_default=True,
    help="The percentage of payments that are declined.",
)
@click.option(
    "--failed",
    type=PositiveNumber(0, 100, allows_lowest=True),
    default=0.1,
    show_default=True,
    help="The percentage of payments that fail.",
)
@click.option(
    "--months-stored",
    type=PositiveNumber(),
    default=12,
    show_default=True,
    help="How long payments have been kept, for the price of storage.",
)
@click.option("--compare", is_flag=True, help="Also show Express (calculated) and the reference's design.")
@click.option("--offline", is_flag=True, help="Do not ask AWS for quotas; take the defaults.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, see docs/capacity-output.schema.json.")
@click.option("--profile", help="A profile of the AWS configuration.")
@click.option("--region", help="The region; by default the environment's, the profile's, or us-east-1.")
@settings_option
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def main(
    environment: str | None,
    named_environment: str | None,
    per_second: float,
    peak_factor: float,
    gateway_seconds: float,
    declined: float,
    failed: float,
    months_stored: float,
    compare: bool,
    offline: bool,
    as_json: bool,
    profile: str | None,
    region: str | None,
    settings_file: Path,
    debug: bool,
) -> None:
    """Show which limits ENVIRONMENT reaches at a number of payments a second, and what that costs.

    What payments take was measured on the emulator by recorded calls. Quotas are read from the account if there
    are credentials; otherwise the defaults of the region count. Nothing is changed.

    Exits with 2 if a limit is exceeded at the peak.
    """
    name = named_environment or environment
    if _is_given_twice(environment, named_environment):
        raise click.UsageError(f"two environments, {environment} and --env {named_environment}; name one")
    if not name:
        raise click.UsageError("no environment; name one, such as dev, or set PAYMENT_ENV")
    if declined + failed > 100:
        raise click.UsageError("--declined and --failed together are more than 100 %")
    common = CommonOptions(name, profile, region, settings_file, debug)
    with (
        common.report_errors(NAME, "nothing was changed", show_error=print_json_error if as_json else str),
        repeat_options(common.list_given_options()),
        end_silently_if_unread(),
    ):
        settings.load(name, settings_file)  # raises SettingsError
        from .demands import Mix
        from .workload import Workload

        mix = Mix(declined / 100, failed / 100)
        workload = Workload(per_second, peak_factor, gateway_seconds, mix, months_stored)
        exceeds = _print_answer(common, workload, offline=offline, compare=compare, as_json=as_json)
        sys.exit(2 if exceeds else 0)


def _is_given_twice(environment: str | None, named_environment: str | None) -> bool:
    """Whether argument and option name different environments; the variable gives way to either."""
    source = click.get_current_context().get_parameter_source("environment")
    is_argument = source is click.core.ParameterSource.COMMANDLINE
    return is_argument and named_environment is not None and environment != named_environment


def _print_answer(common: CommonOptions, workload: "Workload", *, offline: bool, compare: bool, as_json: bool) -> bool:
    """Print the answer, and return whether a limit is exceeded."""
    from . import report
    from .answer import answer_question
    from .limits import load_limits
    from .prices import load_prices

    region = _choose_region(common)
    limits = load_limits(region)
    readings = _read_account(common, limits, offline=offline)
    designs = _list_designs(common, region, workload, compare=compare)
    answer = answer_question(common.environment, designs, workload, limits, load_prices(region), readings.values)
    answer.notes.extend(readings.obstacles)
    if as_json:
        echo(report.format_json(answer))
    else:
        width = None if sys.stdout.isatty() else 120
        report.show_answer(create_console(markup=False, emoji=False, width=width), answer)
    return bool(answer.environment_assessment.exceeded)


def _choose_region(common: CommonOptions) -> str:
    """Return the Region of the environment, without asking anybody."""
    if common.environment == settings.LOCAL:
        return DEFAULT_REGION
    rollout = settings.load_rollout(common.environment, common.settings_file)
    configured = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return common.region or rollout["region"] or configured or _read_profile_region(common.profile) or DEFAULT_REGION


def _read_profile_region(profile: str | None) -> str:
    from .account import has_credentials

    if not has_credentials(profile):
        return ""
    import botocore.session

    return str(botocore.session.Session(profile=profile).get_config_variable("region") or "")


def _read_account(common: CommonOptions, limits: "Limits", *, offline: bool) -> "Readings":
    """Return what the account tells. Without credentials, or without a running emulator, nothing is asked."""
    from scripts.local import server

    from .account import Readings, has_credentials, read_account

    if offline:
        return Readings()
    if common.environment == settings.LOCAL:
        if server.find_kept_server() is None:
            return Readings(obstacles=["the AWS emulator is not running, so these are the defaults of AWS"])
    elif not has_credentials(common.profile):
        return Readings(obstacles=["there are no AWS credentials, so these are the defaults of AWS"])
    return read_account(common.reach_target(), common.environment, limits)


def _list_designs(common: CommonOptions, region: str, workload: "Workload", *, compare: bool) -> "list[Design]":
    from .design import change_to_express, describe_environment, describe_reference

    deployed = describe_environment(common.environment, common.settings_file, region, workload.mix)
    return [deployed, change_to_express(deployed), describe_reference(workload.mix)] if compare else [deployed]
