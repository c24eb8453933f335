"""Runs the checks in parallel, reports their findings, and stops for a certain failure."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import Any

from botocore.exceptions import ClientError

from scripts.common import templates
from scripts.common.clients import CloudFormationClient
from scripts.common.errors import AWS_ERRORS, UserError, describe_error
from scripts.common.evaluate import evaluate
from scripts.common.evaluated import Evaluated
from scripts.common.packaging import Destination
from scripts.common.target import Target
from scripts.common.threads import map_in_threads
from scripts.deployer.package import PLANS
from scripts.deployer.report.reporter import Reporter
from scripts.deployer.stack import Stack, describe_stack, describe_tree, is_failed_creation
from stacks.settings import Bootstrap

from ..deployment_options import ARTIFACTS_STACK, DeploymentOptions
from ..finding import Finding, Verdict
from . import concurrency, existing_names, github_subject, logs_policies, region, rights, runtime
from .concurrency import check_concurrency
from .existing_names import check_existing_names, find_imported_resources
from .github_subject import check_github_subject
from .importable import ImportedResource
from .logs_policies import check_logs_policies
from .name_lookups import locate
from .region import check_region
from .resources import HeldIds, declared_resources, read_held_ids
from .rights import check_rights
from .runtime import check_runtime
from .situation import Situation

Check = Callable[[Situation], list[Finding]]
CHECKS: dict[str, Check] = {
    existing_names.SUBJECT: check_existing_names,
    concurrency.SUBJECT: check_concurrency,
    logs_policies.SUBJECT: check_logs_policies,
    rights.SUBJECT: check_rights,
    region.SUBJECT: check_region,
    runtime.SUBJECT: check_runtime,
    github_subject.SUBJECT: check_github_subject,
}


class Preflight:
    """Runs the checks once, before the first step that writes."""

    def __init__(self, options: DeploymentOptions, target: Target, report: Reporter) -> None:
        self._options, self._target, self._report = options, target, report
        self._situation: Situation | None = None

    def run_checks(self, *, with_bootstrap: bool = False) -> None:
        """Report the findings, ``with_bootstrap`` the bucket's too. Raises ``UserError`` if there is a failure."""
        if self._situation is not None:
            return
        self._situation = read_situation(self._options, self._target, with_bootstrap=with_bootstrap)
        findings = collect_findings(self._situation)
        self._report.show_findings(findings)
        failures = [finding for finding in findings if finding.verdict is Verdict.FAILURE]
        if failures:
            # The report has each of them in full, with its next step.
            findings_stop = "1 finding stops" if len(failures) == 1 else f"{len(failures)} findings stop"
            raise UserError(
                f"{findings_stop} the deployment; follow the next step given with each, and run the command again; "
                "nothing was changed"
            )

    def find_imported_resources(self) -> tuple[ImportedResource, ...]:
        """Return the existing resources to import; none if the checks have not run.

        Raises ``UserError`` if a service does not say whether one exists.
        """
        return find_imported_resources(self._situation) if self._situation else ()


def collect_findings(situation: Situation) -> list[Finding]:
    """Return the findings of all checks, in the order of ``CHECKS``."""

    def run_check(subject: str, check: Check) -> list[Finding]:
        try:
            return check(situation)
        except AWS_ERRORS as error:
            return [Finding(subject, Verdict.UNKNOWN, f"could not be checked: {describe_error(error)}")]

    return list(chain.from_iterable(map_in_threads(run_check, CHECKS, CHECKS.values(), workers=len(CHECKS))))


def read_situation(options: DeploymentOptions, target: Target, *, with_bootstrap: bool) -> Situation:
    """Read the input of the checks from the templates, the settings and CloudFormation."""
    cloudformation = target.client("cloudformation")
    stack = describe_stack(cloudformation, options.stack_name)
    platform, bootstrap = (_evaluate_template(options, target, name) for name in ("parent.yaml", "artifacts.yaml"))
    resources = [*declared_resources(platform, _read_held_ids(cloudformation, stack), is_of_environment=True)]
    if with_bootstrap:
        held_ids = _read_held_ids(cloudformation, describe_stack(cloudformation, ARTIFACTS_STACK))
        resources += declared_resources(bootstrap, held_ids, is_of_environment=False)
    return Situation(
        target=target,
        place=locate(target.pseudo_parameters()),
        environment=options.environment,
        stack_name=options.stack_name,
        parameters=options.parameters,
        deployed_parameters=stack.parameters if stack.exists else {},
        resources=tuple(resources),
        bootstrap=bootstrap,
        github_repository=options.bootstrap.get(Bootstrap.github_repository.parameter_name, ""),
        is_deployed=stack.exists and not is_failed_creation(stack),
        only_plan=options.only_plan,
        upload_prefix=_upload_prefix(options),
        today=_aws_date(target.identity),
        imports_existing=options.imports_existing,
    )


def _upload_prefix(options: DeploymentOptions) -> str:
    """Return the prefix of the keys; plans that are not saved have their own."""
    if options.only_plan and not options.out:
        return f"{PLANS}/{options.environment}"
    return Destination.for_environment("", "", options.environment).prefix


def _evaluate_template(options: DeploymentOptions, target: Target, name: str) -> Evaluated:
    """Evaluate a committed template and its nested ones with the settings."""
    parameters = options.bootstrap if name == "artifacts.yaml" else options.parameters
    return evaluate(templates.read_tree_from_folder(options.templates, name), parameters, target.pseudo_parameters())


def _read_held_ids(cloudformation: CloudFormationClient, stack: Stack) -> HeldIds | None:
    """Return None if the caller may not list them. A failed creation counts as empty, because it is deleted first."""
    if stack.status == "ROLLBACK_COMPLETE":
        return HeldIds()
    try:
        return read_held_ids(describe_tree(cloudformation, stack))
    except ClientError:
        return None


def _aws_date(identity: dict[str, Any]) -> date:
    """Return the date by AWS's clock, because Lambda decides by that."""
    header = identity.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(header).date() if header else datetime.now(UTC).date()
