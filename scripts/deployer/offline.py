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

from .deployment_options import ARTIFACTS_STACK, Deployed, DeploymentOptions
from .freshness import check_fresh_once
from .last_deployment import LastDeployment, load_deployment
from .planning import Comparison, compare_trees, parse_package
from .report.reporter import Reporter

_LONGEST_SECONDS = 60
_SHOWS_NO_LOSS = (
    ", which has nothing to lose; to see what a change loses, compare with a git revision: --against REVISION"
)


def plan_offline(
    options: DeploymentOptions, revision: str | None, report: Reporter, *, obstacle: str = "", region: str = ""
) -> Deployed:
    """Report the plan and return whether there are changes. Raises ``UserError`` if nothing can be compared.

    Without a revision and a record of the last deployment, everything is shown as created. So it is if that deployment
    was in another place than the ``region`` of the command, or than the settings allow. ``obstacle`` says why the
    environment cannot be deployed yet, and is shown with the plan.
    """
    check_fresh_once(options.templates)
    notices = [obstacle] if obstacle else []
    source = ""
    if revision:
        compared = _compare_with_revision(options, revision)
        source = f"revision {revision}"
    elif isinstance(last := _find_last_deployment(options, region), LastDeployment):
        compared = _compare_with_last_deployment(options, last)
        at = last.deployed_at[:16].replace("T", " at ")
        source = f"what was deployed from this machine to {last.place} on {at} UTC"
    else:
        compared = _compare_with_nothing(options)
        notices.append(f"{last}, so this is the plan of a first one{_SHOWS_NO_LOSS}")
    if compared.is_empty:
        message = f"no changes compared with {source}; {ARTIFACTS_STACK} is not compared offline"
        return Deployed({}, changed=False, message=message)
    protected = compared.list_stack_paths() if options.rollout.stack_policy else set()
    notices += compared.describe_moves(options.environment, protected)
    compares = f"a comparison of the local templates with {source}" if source else "the local templates alone"
    basis = f"Based on {compares}, without access to AWS."
    report.show_plan(compared.make_offline_plan(basis, tuple(notices)))
    return Deployed({}, changed=True)


def _find_last_deployment(options: DeploymentOptions, region: str) -> LastDeployment | str:
    """Return the record of the last deployment to the account and Region of the plan, or why there is none."""
    if options.record is None or is_missing(options.record):
        return f"no deployment of {options.environment} is recorded on this machine"
    last = load_deployment(options.record)
    if _has_emulator_gone(options.environment, last):
        return "the AWS emulator with the last deployment is not running any more"
    # Without AWS, the place of the plan is known only if the command or the settings name it.
    place = (options.rollout.account or last.account, region or options.rollout.region or last.region)
    if place != (last.account, last.region):
        return f"the last deployment of {options.environment} from this machine was to {last.place}"
    return last


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
