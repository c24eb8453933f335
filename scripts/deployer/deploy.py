"""The steps in order: validate, package, compare, examine, upload, change set, plan, confirm, execute, outputs."""

from pathlib import Path
from typing import Any

from scripts.common.errors import Aborted, UserError
from scripts.common.target import Target

from . import planning, protect, saved
from .bootstrap import bootstrap
from .change_set import Options, Proposal, proposed
from .deletion_protection import LateProtection, find_late_protection
from .execute import asked_to_go, execute, finish, keep_protected, record_deployment
from .order import ARTIFACTS_STACK, Confirm, Deployed, Order
from .package import Package, package_templates, repackage_for_plan
from .plan.model import Plan
from .preflight.examine import Preflight
from .report.reporter import Reporter
from .stack import (
    Stack,
    StackTree,
    check_owned,
    check_ready,
    delete_failed_creation,
    deployed_templates,
    describe,
    describe_tree,
    is_deployed,
    is_failed_creation,
    wait_until_idle,
)
from .upload import upload_package
from .validate import check_fresh, check_lint


def deploy(order: Order, target: Target, report: Reporter, confirm: Confirm) -> Deployed:
    """Deploy the platform, or only plan to; then no stack is changed, and nothing left but files.

    Raises ``UserError`` for anything that a user can do something about, ``Aborted`` when ``confirm`` says no.
    """
    check_fresh(order.templates)
    account = target.account
    preflight = Preflight(order, target, report)
    bucket = bootstrap(order, target, report, confirm, preflight)
    if order.bootstrap.get("ServiceRole") == "true" and "ServiceRoleArn" not in bucket:
        raise UserError(
            f"{ARTIFACTS_STACK} does not have CloudFormation's role yet, though service_role is true; deploy without "
            "--plan, with credentials that may update it"
        )
    packaged = package_templates(
        order.templates / "parent.yaml", target.destination(bucket["BucketName"], order.environment), target.runtime
    )
    cloudformation = target.client("cloudformation")
    stack = _ready(order, cloudformation, report, preflight)
    # A stack that is adopted gets our tag, if nothing else.
    if stack.owned and is_deployed(cloudformation, stack, packaged.template, order.parameters):
        if not order.only_plan:
            _make_up(order, target, report, stack, packaged)
        return Deployed(stack.outputs, changed=False)
    preflight.run_checks()
    # A plan that is saved may be executed.
    uploaded = repackage_for_plan(packaged) if order.only_plan and not order.out else packaged
    _upload(order, target, uploaded, account, report)
    return _Deployment(order, target, report, confirm, packaged, uploaded.template_url, stack, account, bucket).run()


def _make_up(order: Order, target: Target, report: Reporter, stack: Stack, packaged: Package) -> None:
    """What an earlier deployment was interrupted before, or another machine has: the protection, and the record."""
    cloudformation = target.client("cloudformation")
    is_protected = order.rollout.termination_protection or order.rollout.stack_policy
    is_recorded = order.record is None or order.record.exists()
    if is_recorded and not is_protected:
        return
    tree = describe_tree(cloudformation, stack)
    keep_protected(order, cloudformation, tree, report)
    if not is_recorded:
        record_deployment(order, target, stack, deployed_templates(cloudformation, tree), packaged.destination)


def _ready(order: Order, cloudformation: Any, report: Reporter, preflight: Preflight) -> Stack:
    """The platform's stack, once it can take a change set."""
    stack = describe(cloudformation, order.stack_name)
    if order.wait and stack.busy:
        stack = wait_until_idle(cloudformation, order.stack_name, lambda said: report.announce_step("Waiting", said))
    if is_failed_creation(stack) and not order.only_plan:
        preflight.run_checks()
        report.announce_step("Deleting", f"{stack.name}, left over from a failed creation")
        stack = delete_failed_creation(cloudformation, stack)
    if not order.adopt:
        check_owned(stack)
    check_ready(stack, order.environment)
    return stack


def _upload(order: Order, target: Target, packaged: Package, account: str, report: Reporter) -> None:
    """What cfn-lint refuses is not even uploaded."""
    report.announce_step("Validating", f"{len(list(order.templates.glob('*.yaml')))} templates with cfn-lint")
    check_lint(order.templates)
    layers = bool(packaged.layers) and order.parameters.get("Gateway") == "stripe"
    report.announce_step("Packaging", f"{len(packaged.files)} files" + (", and the layer" if layers else ""))
    uploaded = upload_package(packaged, target.client("s3"), account, layers=layers)
    report.announce_step("Uploaded", f"{uploaded} of them; the others were already there")


class _Deployment:
    """The second half: there is something to change, and all that it needs is uploaded."""

    def __init__(
        self,
        order: Order,
        target: Target,
        report: Reporter,
        confirm: Confirm,
        packaged: Package,
        template_url: str,
        stack: Stack,
        account: str,
        bucket: dict[str, str],
    ) -> None:
        self._order, self._target, self._report, self._confirm = order, target, report, confirm
        self._template_url, self._stack, self._account, self._bucket = template_url, stack, account, bucket
        self._cloudformation = target.client("cloudformation")
        self._tree = describe_tree(self._cloudformation, stack) if stack.exists else StackTree(stack)
        self._before = deployed_templates(self._cloudformation, self._tree) if stack.exists else None
        self._after = planning.packaged_tree(packaged)

    def run(self) -> Deployed:
        order, stack = self._order, self._stack
        compared = self._compare(order.parameters)
        late = find_late_protection(compared, self._after, order.parameters, self._target.pseudo_parameters())
        parameters = late.leave_off(order.parameters)
        if late.parameters:
            compared = self._compare(parameters)
        options, notices = self._options(compared)
        source = {"TemplateURL": self._template_url}
        self._report.announce_step("Planning", f"a change set of {stack.name}")
        with proposed(self._cloudformation, stack, parameters, options, **source) as proposal:
            if proposal is None:
                return Deployed(stack.outputs, changed=False)
            plan = compared.plan(proposal.changes, (*proposal.notices, *notices, *late.notices))
            self._report.show_plan(plan)
            if order.only_plan:
                if order.out:
                    self._save(proposal, plan, late, order.out)
                return Deployed(stack.outputs, changed=True)
            lost = asked_to_go(plan, order.destroys)
            if not self._confirm(f"Deploy {stack.name}?", list(lost)):
                raise Aborted(f"{stack.name}: not deployed; the change set was deleted")
            dropped = list(lost.values())
            with protect.let_go(self._cloudformation, self._tree, dropped, self._still_let_go):
                execute(proposal, self._tree, plan, order.environment, self._target, self._report, late)
        return finish(order, self._target, self._report, self._before, late)

    def _compare(self, parameters: dict[str, str]) -> planning.Comparison:
        return planning.comparison(
            self._stack.name,
            (self._before, self._stack.parameters) if self._before else None,
            (self._after, parameters),
            self._target.pseudo_parameters(),
        )

    def _still_let_go(self, said: str) -> None:
        self._report.announce_step("Not protected:", said)

    def _options(self, compared: planning.Comparison) -> tuple[Options, list[str]]:
        """The role that CloudFormation assumes, and the alarms that roll back; there are none before the first time."""
        alarms: tuple[str, ...] = ()
        notices: list[str] = []
        if self._stack.exists and self._order.rollout.rollback_on_alarms:
            cloudwatch = self._target.client("cloudwatch")
            alarms, notices = protect.triggers(cloudwatch, self._stack.outputs, compared.going("AlarmName"))
        role = self._bucket.get("ServiceRoleArn", "")
        return Options(role, alarms, self._order.rollout.monitoring_minutes), notices

    def _save(self, proposal: Proposal, plan: Plan, late: LateProtection, path: Path) -> None:
        saved.save_plan(
            path,
            saved.SavedPlan(
                environment=self._order.environment,
                account=self._account,
                region=self._target.region,
                stack_name=self._stack.name,
                stack_id=proposal.stack_id,
                change_set_id=proposal.change_set_id,
                changed_at={stack.id: stack.changed_at for _, stack in self._tree.walk() if stack.exists},
                digest=saved.digest(proposal.changes),
                plan=plan,
                late_parameters=late.parameters,
                late_paths=list(late.paths),
            ),
        )
        proposal.kept = True
