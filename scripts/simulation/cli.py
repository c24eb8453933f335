"""The command scripts/simulate.sh."""

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.common import command
from scripts.common.errors import UserError
from scripts.common.terminal import echo
from stacks import settings

from .assumptions import Assumptions, list_meanings
from .scenario import MODES, QUOTAS, RAISED, Scenario

if TYPE_CHECKING:
    from .figures import Result

NAME = "simulate"
RATES = (1.0, 10.0, 100.0, 1000.0)
_EPILOG = "Assumptions, with their values: " + "; ".join(
    f"{name}: {meaning}" for name, meaning in list_meanings().items()
)


@click.command(cls=command.GuardedCommand, context_settings=command.HELP, epilog=_EPILOG)
@click.argument("environment")
@click.option(
    "--per-second",
    "rates",
    type=click.FloatRange(min=0, min_open=True, max=10_000),
    multiple=True,
    help="Payments a second; may be repeated.  [default: 1, 10, 100 and 1000]",
)
@click.option("--outage-minutes", type=click.FloatRange(min=0, max=24 * 60), default=10.0, show_default=True,
              help="For how long the gateway is out.")  # fmt: skip
@click.option(
    "--mode",
    "modes",
    type=click.Choice(MODES),
    multiple=True,
    help="During the outage, the gateway refuses every call, or no call gets an answer (timeout).  [default: both]",
)
@click.option(
    "--quotas",
    "quotas",
    type=click.Choice(QUOTAS),
    multiple=True,
    help="AWS's defaults, or raised to twice what the payments need without an outage.  [default: both]",
)
@click.option("--workers", type=click.IntRange(1, 40), help="Workers of reconciliation.  [default: the environment's]")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed gives other random times.")
@click.option(
    "--cohort", type=click.IntRange(1), help="Simulate so many payments as one.  [default: as few as possible]"
)
@click.option("--assume", "changes", metavar="NAME=VALUE", multiple=True, help="Change an assumption; may be repeated.")
@click.option("--settings", "settings_file", type=click.Path(path_type=Path), default=settings.ENVIRONMENTS_FILE,
              help="The settings file.  [default: stacks/environments.toml]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the number of open payments over time.")
def main(
    environment: str,
    rates: tuple[float, ...],
    outage_minutes: float,
    modes: tuple[str, ...],
    quotas: tuple[str, ...],
    workers: int | None,
    seed: int,
    cohort: int | None,
    changes: tuple[str, ...],
    settings_file: Path,
    as_json: bool,
) -> None:
    """Simulate payments through an outage of the gateway, with the settings of ENVIRONMENT. Nothing is sent anywhere.

    Payments arrive at random from a minute before the outage until five minutes after it. The command prints how they
    end, for how long after the outage some are open or to be closed at the gateway, and what is throttled.
    """
    with command.report_errors(NAME), command.end_silently_if_unread():
        parameters = settings.load(environment, settings_file)
        assumptions = parse_assumptions(changes)
        scenarios = [
            Scenario(
                per_second=rate,
                outage_seconds=outage_minutes * 60,
                mode=mode,
                seed=seed,
                cohort=cohort or 0,
                assumptions=assumptions,
            )
            for rate in rates or RATES
            for mode in modes or MODES
        ]
        results = simulate_scenarios(select_quotas(scenarios, quotas or QUOTAS), parameters, workers or 0)
        if as_json:
            echo(json.dumps([result.to_document() for result in results], indent=2))
        else:
            from .report import format_results

            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
            echo(format_results(results, width))


def parse_assumptions(changes: tuple[str, ...]) -> Assumptions:
    """Return the assumptions with these changes. Raises ``UserError`` for one that is not ``NAME=NUMBER``."""
    meanings, values = list_meanings(), {}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in meanings:
            raise UserError(f"--assume {change}: no such assumption; see scripts/simulate.sh --help")
        try:
            values[name] = float(text)
        except ValueError:
            raise UserError(f"--assume {change}: not a number") from None
    try:
        return Assumptions(**values)
    except ValueError as error:
        raise UserError(f"--assume: {error}") from None


def select_quotas(scenarios: list[Scenario], quotas: tuple[str, ...]) -> list[Scenario]:
    """Return the scenarios with each of the quotas, but those whose quotas suffice only once."""
    selected = []
    for scenario in scenarios:
        raised = scenario.with_raised_quotas()
        if RAISED not in quotas:
            selected.append(scenario)
        elif len(quotas) == 1 or raised is scenario:
            selected.append(raised)
        else:
            selected += [scenario, raised]
    return selected


def simulate_scenarios(scenarios: list[Scenario], parameters: dict[str, str], workers: int = 0) -> "list[Result]":
    from .rules import read_rules
    from .simulate import simulate

    rules = read_rules(parameters, workers)
    return [simulate(scenario, rules) for scenario in scenarios]
