"""``python -m scripts.audit``: runs all checks, shows their findings, and fails if one is open."""

import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from rich.console import Console

from scripts.common.command import GuardedCommand, report_errors
from scripts.common.errors import UserError
from scripts.common.paths import TEMPLATES
from scripts.deployer.validate import check_fresh

from . import deployed, environments, packs, recorded_runs, scanners, table, workflows
from .results import Result, Suppressions


@click.command(
    cls=GuardedCommand,
    help="Audit the templates and the platform by scanners, rule packs and the project's own proofs.",
)
@click.option("--lists", is_flag=True, help="Print each grant and each recorded call.")
@click.option("--scans-only", is_flag=True, help="Run the scanners only: no end-to-end tests, no mutations.")
@click.option(
    "--recorded",
    type=click.Path(path_type=Path),
    help="Use the recordings of `make test` in this folder; run no end-to-end tests.",
)
@click.option("--debug", is_flag=True, help="Show a traceback of an error.")
def audit(lists: bool, scans_only: bool, recorded: Path | None, debug: bool) -> None:
    console = Console(width=max(table.WIDTH, Console().width), highlight=False)
    with report_errors("audit", debug=debug):
        sys.exit(0 if _run_audit(console, lists, scans_only, recorded) else 1)


def _run_audit(console: Console, lists: bool, scans_only: bool, recorded: Path | None) -> bool:
    check_fresh(TEMPLATES)
    committed = deployed.read_committed(TEMPLATES)
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(max_workers=2) as pool:
        folder = Path(name)
        # The end-to-end tests mostly wait, so the scanners run at the same time.
        if scans_only:
            recording = None
        elif recorded:
            recording = pool.submit(recorded_runs.read_recordings, committed, recorded)
            recording.result()  # refuse stale recordings before the scans
        else:
            recording = pool.submit(recorded_runs.run_end_to_end_tests, committed, folder)
        results = _run_scanners(committed, folder)
        table.show_scans(console, results)
        if recording is None:
            return all(result.has_passed for result in results)
        mutations = recorded_runs.read_mutations(recorded) if recorded else recorded_runs.run_mutations(folder)
        compared, markers = recording.result()
    if lists:
        table.show_lists(console, compared)
    table.show_recorded_runs(console, compared, markers, mutations)
    nothing_leaked = markers.leaked == 0 < markers.places
    all_detected = mutations is None or mutations.detected == mutations.planted > 0
    return all([*(result.has_passed for result in results), compared.holds, nothing_leaked, all_detected])


def _run_settings_scanners(suppressions: Suppressions, folder: Path) -> list[Result]:
    return [
        scanners.run_checkov(suppressions, folder),
        *packs.run_cdk_nag(suppressions, folder),
        packs.run_control_tower_rules(suppressions, folder),
    ]


def _run_scanners(committed: dict[str, deployed.Template], folder: Path) -> list[Result]:
    """Return the result of each scanner; if one cannot run, its result says so, and the others still run."""
    templates = deployed.evaluate_templates(committed)
    as_deployed = folder / deployed.PROD
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
        ("dev and staging", lambda: environments.judge_environments(committed, folder, _run_settings_scanners)),
    ]
    results: list[Result] = []
    for name, check in checks:
        try:
            result = check()
        except UserError as error:
            result = Result(name, failed=str(error))
        except (ValueError, LookupError, OSError, SystemExit) as error:
            result = Result(name, failed=f"its output cannot be read: {error!r}")
        results += result if isinstance(result, list) else [result]
    # A suppression is stale only if every scanner has run without using it.
    return results if any(result.failed for result in results) else [*results, suppressions.find_stale()]
