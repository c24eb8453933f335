"""A plan without AWS: the templates here beside those deployed last from here, or those of a git revision."""

import subprocess
import tempfile
from pathlib import Path

from scripts.common import templates
from scripts.common.errors import UserError
from scripts.common.packaging import Destination, Runtime
from scripts.common.paths import ROOT
from scripts.common.target import pseudo_parameters
from scripts.local.runtime import RUNTIME
from stacks import settings

from .order import Order
from .package import package_templates
from .planning import Comparison, comparison, packaged_tree
from .report.reporter import Reporter
from .saved import LastDeployment, load_deployment
from .validate import check_fresh

_LONGEST_SECONDS = 60


def plan_offline(order: Order, revision: str | None, report: Reporter) -> bool:
    """Whether anything would change, as far as templates tell. Raises ``UserError`` without anything to compare."""
    check_fresh(order.templates)
    if revision:
        compared = _with_revision(order, revision)
        source = f"revision {revision}"
    else:
        if order.record is None:
            raise UserError(
                "no deployment is recorded on this machine; give a git revision to compare with: --against REVISION"
            )
        last = load_deployment(order.record)
        compared = _with_last(order, last)
        source = f"what was deployed from this machine on {last.deployed_at[:16].replace('T', ' at ')} UTC"
    if not compared.changes.changes and not compared.changes.outputs:
        return False
    report.show_plan(
        compared.alone(f"Based on a comparison of the local templates with {source}, without access to AWS.")
    )
    return True


def _with_last(order: Order, last: LastDeployment) -> Comparison:
    destination = Destination.for_environment(last.bucket, last.endpoint, order.environment)
    after = packaged_tree(package_templates(order.templates / "parent.yaml", destination, _runtime(order.environment)))
    pseudo = pseudo_parameters(last.account, last.region)
    return comparison(order.stack_name, (last.tree, last.parameters), (after, order.parameters), pseudo)


def _runtime(environment: str) -> Runtime | None:
    """How functions run on the AWS emulator is in the templates that were deployed to it."""
    if environment != "local":
        return None
    return RUNTIME


def _with_revision(order: Order, revision: str) -> Comparison:
    """As committed, not packaged: code shows by its digest in the description of the functions' versions."""

    def here(name: str) -> str:
        return (order.templates / name).read_text(encoding="utf-8")

    def there(name: str) -> str:
        return _show(revision, f"templates/{name.removeprefix('./')}")

    before = templates.read_tree(there("parent.yaml"), there)
    after = templates.read_tree(here("parent.yaml"), here)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "environments.toml"
        file.write_text(_show(revision, "stacks/environments.toml"), encoding="utf-8")
        try:
            parameters = settings.load(order.environment, file)
        except settings.SettingsError as error:
            told = str(error).replace(str(file), f"{revision}:stacks/environments.toml")
            raise UserError(f"the current code cannot read that revision's settings: {told}") from error
    return comparison(order.stack_name, (before, parameters), (after, order.parameters), {})


def _show(revision: str, path: str) -> str:
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
        raise UserError(f"--against {revision}: {git.stderr.strip().splitlines()[-1]}")
    return git.stdout
