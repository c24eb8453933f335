"""``python -m scripts.audit``: run all checks, show what they found, and fail for anything that is open."""

import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from rich.console import Console

from scripts.common.errors import UserError
from scripts.common.paths import TEMPLATES
from scripts.deployer.validate import check_fresh

from . import deployed, environments, packs, scanners, table, trials, workflows
from .results import Result, Suppressions


@click.command(help="Let scanners, auditors' rule packs and our own proofs judge the templates and the platform.")
@click.option("--lists", is_flag=True, help="Print each grant and each recorded call.")
@click.option("--scans-only", is_flag=True, help="Only what reads: no end-to-end tests, no mutations.")
@click.option(
    "--recorded",
    type=click.Path(path_type=Path),
    help="Take what a run of all tests recorded in this folder, and run no end-to-end tests.",
)
@click.option("--debug", is_flag=True, help="Show a traceback of an error.")
def audit(lists: bool, scans_only: bool, recorded: Path | None, debug: bool) -> None:
    console = Console(width=max(table.WIDTH, Console().width), stderr=False)
    try:
        sys.exit(0 if _audit(console, lists, scans_only, recorded) else 1)
    except UserError as error:
        if debug:
            raise
        print(f"audit: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("audit: interrupted", file=sys.stderr)
        sys.exit(130)


def _audit(console: Console, lists: bool, scans_only: bool, recorded: Path | None) -> bool:
    check_fresh(TEMPLATES)
    committed = deployed.read_committed(TEMPLATES)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(max_workers=2) as pool:
        folder = Path(name)
        # The end-to-end tests mostly wait; what computes is done beside them.
        if scans_only:
            ran = None
        elif recorded:
            ran = pool.submit(trials.read_recordings, committed, recorded)
            ran.result()  # a refusal comes before the scans, not after them
        else:
            ran = pool.submit(trials.run_end_to_end_tests, committed, folder)
        results = _scans(committed, folder)
        table.show_scans(console, results)
        if ran is None:
            return all(result.passed for result in results)
        planted = trials.run_mutations(folder)
        compared, markers = ran.result()
    if lists:
        table.show_lists(console, compared)
    table.show_trials(console, compared, markers, planted)
    good = [result.passed for result in results]
    return all([*good, compared.holds, markers.found == 0 < markers.places, planted.caught == planted.planted > 0])


def _of_settings(suppressions: Suppressions, folder: Path) -> list[Result]:
    """What the scanners say that read settings; to the others all environments are the same."""
    return [
        scanners.run_checkov(suppressions, folder),
        *packs.run_cdk_nag(suppressions, folder),
        packs.run_control_tower_rules(suppressions, folder),
    ]


def _scans(committed: dict[str, deployed.Template], folder: Path) -> list[Result]:
    """Each scanner's result; one that cannot run has failed, and the others go on."""
    templates = deployed.evaluate_templates(committed)
    as_deployed = folder / deployed.PROD
    as_deployed.mkdir()
    deployed.write_templates(templates, as_deployed)
    suppressions = Suppressions(templates)
    checks: list[tuple[str, Callable[[], Result | list[Result]]]] = [
        ("cfn-lint", scanners.run_cfn_lint),
        ("checkov", lambda: scanners.run_checkov(suppressions, as_deployed)),
        ("parliament", lambda: scanners.run_parliament(templates)),
        ("ruff", scanners.run_ruff),
        ("zizmor", workflows.run_zizmor),
        ("cdk-nag", lambda: packs.run_cdk_nag(suppressions, as_deployed)),
        ("AWS Control Tower (cfn-guard)", lambda: packs.run_control_tower_rules(suppressions, as_deployed)),
        ("dev and staging", lambda: environments.judge_environments(committed, folder, _of_settings)),
    ]
    results: list[Result] = []
    for name, check in checks:
        try:
            found = check()
        except UserError as error:
            found = Result(name, failed=str(error))
        except (ValueError, LookupError, OSError, SystemExit) as error:
            found = Result(name, failed=f"gives no answer that can be read: {error!r}")
        results += found if isinstance(found, list) else [found]
    # Without all answers nobody knows what is needed no more.
    return results if any(result.failed for result in results) else [*results, suppressions.find_stale()]
