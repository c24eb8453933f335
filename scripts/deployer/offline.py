"""A plan without AWS: compares the local templates with those of the last deployment, or of a git revision."""

import subprocess
import tempfile
from pathlib import Path

from scripts.common import templates
from scripts.common.errors import UserError
from scripts.common.files import is_missing
from scripts.common.packaging import Destination
from scripts.common.paths import ROOT
from scripts.common.target import pseudo_parameters
from stacks import settings

from .deployment_options import DeploymentOptions
from .freshness import check_fresh_once
from .last_deployment import LastDeployment, load_deployment
from .planning import Comparison, compare_trees, parse_package
from .report.reporter import Reporter

_LONGEST_SECONDS = 60


def plan_offline(options: DeploymentOptions, revision: str | None, report: Reporter, obstacle: str = "") -> bool:
    """Report the plan and return whether there are changes. Raises ``UserError`` if nothing can be compared.

    Without a revision and a record of the last deployment, everything is shown as created. ``obstacle`` says why the
    environment cannot be deployed yet, and is shown with the plan.
    """
    check_fresh_once(options.templates)
    notices = [obstacle] if obstacle else []
    if revision:
        compared = _compare_with_revision(options, revision)
        source = f"revision {revision}"
    elif options.record is None or is_missing(options.record):
        compared = _compare_with_nothing(options)
        source = ""
        notices.append(
            f"no deployment of {options.environment} is recorded on this machine, so this is the plan of a first one, "
            "which has nothing to lose; to see what a change loses, compare with a git revision: --against REVISION"
        )
    elif _has_emulator_gone(options.environment, last := load_deployment(options.record)):
        compared = _compare_with_nothing(options)
        source = ""
        notices.append(
            "the AWS emulator with the last deployment is not running any more, so this is the plan of a first one"
        )
    else:
        compared = _compare_with_last_deployment(options, last)
        source = f"what was deployed from this machine on {last.deployed_at[:16].replace('T', ' at ')} UTC"
    if compared.is_empty:
        return False
    protected = compared.list_stack_paths() if options.rollout.stack_policy else set()
    notices += compared.describe_moves(options.environment, protected)
    compares = f"a comparison of the local templates with {source}" if source else "the local templates alone"
    basis = f"Based on {compares}, without access to AWS."
    report.show_plan(compared.make_offline_plan(basis, tuple(notices)))
    return True


def _has_emulator_gone(environment: str, last: LastDeployment) -> bool:
    """Whether the last deployment was to an emulator that has ended, and has taken everything with it."""
    if environment != settings.LOCAL:
        return False
    from scripts.local import server

    emulator = server.find_kept_server()
    return emulator is None or last.endpoint != emulator.url


def _compare_with_nothing(options: DeploymentOptions) -> Comparison:
    after = templates.read_tree_from_folder(options.templates, "parent.yaml")
    return compare_trees(options.stack_name, None, (after, options.parameters), {})


def _compare_with_last_deployment(options: DeploymentOptions, last: LastDeployment) -> Comparison:
    from scripts.local.runtime import RUNTIME

    from .package import package_templates

    destination = Destination.for_environment(last.bucket, last.endpoint, options.environment)
    # The emulator's runtime of functions is part of the templates that are deployed to it.
    runtime = RUNTIME if options.environment == "local" else None
    after = parse_package(package_templates(options.templates / "parent.yaml", destination, runtime))
    pseudo = pseudo_parameters(last.account, last.region)
    return compare_trees(options.stack_name, (last.tree, last.parameters), (after, options.parameters), pseudo)


def _compare_with_revision(options: DeploymentOptions, revision: str) -> Comparison:
    """Compare the committed templates before packaging; the descriptions of function versions contain code digests."""

    def read_committed(name: str) -> str:
        return _read_from_git(revision, f"templates/{name.removeprefix('./')}")

    before = templates.read_tree(read_committed("parent.yaml"), read_committed)
    after = templates.read_tree_from_folder(options.templates, "parent.yaml")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "environments.toml"
        file.write_text(_read_from_git(revision, "stacks/environments.toml"), encoding="utf-8")
        try:
            parameters = settings.load(options.environment, file)
        except settings.SettingsError as error:
            reason = str(error).replace(str(file), f"{revision}:stacks/environments.toml")
            raise UserError(f"the current code cannot read that revision's settings: {reason}") from error
    return compare_trees(options.stack_name, (before, parameters), (after, options.parameters), {})


def _read_from_git(revision: str, path: str) -> str:
    try:
        git = subprocess.run(
            ["git", "show", "--end-of-options", f"{revision}:{path}"],  # noqa: S607 - the git of who deploys
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_LONGEST_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"--against {revision}: git cannot be run: {error}") from error
    if git.returncode:
        reason = git.stderr.strip().splitlines()[-1].removeprefix("fatal: ")
        raise UserError(f"--against {revision}: git cannot read {path} of it: {reason}")
    return git.stdout
