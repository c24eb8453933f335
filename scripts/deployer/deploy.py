"""The steps in order: validate, package, compare, upload, change set, plan, confirm, execute, outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import change_set, follow, planning, protect, saved
from .change_set import Options, Proposal, proposed
from .errors import AWS_ERRORS, Aborted, DeployError, explained
from .package import Destination, Package, package
from .plan import templates as plan_templates
from .plan.danger import Danger, dangers
from .plan.model import Plan
from .report.reporter import Reporter
from .retire import keys, retire
from .rollout import Rollout
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
    original,
    wait_until_idle,
)
from .target import Target
from .upload import upload
from .validate import check_fresh, check_lint

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
ARTIFACTS_STACK = "payment-artifacts"

# Asked before anything is changed: the question, and the names of what would be lost with its data.
Confirm = Callable[[str, Sequence[str]], bool]


@dataclass(frozen=True)
class Order:
    """What is asked for."""

    environment: str
    # Of the platform's parent template, and of the artifact bucket's.
    parameters: dict[str, str]
    bootstrap: dict[str, str] = field(default_factory=dict)
    rollout: Rollout = field(default_factory=Rollout)
    templates: Path = TEMPLATES
    only_plan: bool = False
    # Where the plan is saved for a later --apply, and where the templates deployed last are kept.
    out: Path | None = None
    record: Path | None = None
    # What may go with its data.
    destroys: tuple[str, ...] = ()
    wait: bool = False
    adopt: bool = False

    @property
    def stack_name(self) -> str:
        return stack_name(self.environment)


@dataclass(frozen=True)
class Deployed:
    """A stack's outputs, and whether anything had to be changed for them, or would have to be."""

    outputs: dict[str, str]
    changed: bool


def stack_name(environment: str) -> str:
    return f"payment-platform-{environment}"


def deploy(order: Order, target: Target, report: Reporter, confirm: Confirm) -> Deployed:
    """Deploy the platform, or only plan to; then no stack is changed, and nothing left but files.

    Raises ``DeployError`` for anything that a user can do something about, ``Aborted`` when ``confirm`` says no.
    """
    check_fresh(order.templates)
    account = target.account
    bucket = _artifacts(order, target, report, confirm)
    packaged = package(
        order.templates / "parent.yaml", target.destination(bucket["BucketName"], order.environment), target.runtime
    )
    cloudformation = target.client("cloudformation")
    stack = _ready(order, cloudformation, report)
    if is_deployed(cloudformation, stack, packaged.template, order.parameters):
        if not order.only_plan:
            _protect(order, cloudformation, stack, report)
        return Deployed(stack.outputs, changed=False)
    _upload(order, target, packaged, account, report)
    return _Deployment(order, target, report, confirm, packaged, stack, account, bucket).run()


def _artifacts(order: Order, target: Target, report: Reporter, confirm: Confirm) -> dict[str, str]:
    """The outputs of the bucket's stack; it is created on first use, and changed when its template has.

    A plan needs the bucket too, because CloudFormation reads nested templates from it.
    """
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, ARTIFACTS_STACK)
    if order.only_plan and not stack.exists:
        raise DeployError(f"{ARTIFACTS_STACK} is not deployed, and a plan needs its bucket; deploy once without --plan")
    body = (order.templates / "artifacts.yaml").read_text(encoding="utf-8")
    if not order.only_plan and not is_deployed(cloudformation, stack, body, _with_defaults(order.bootstrap, body)):
        check_lint(order.templates)
        stack = _bootstrap(order, target, report, confirm, stack, body)
    if "BucketName" not in stack.outputs:
        raise DeployError(f"{ARTIFACTS_STACK} has no output BucketName; look at it first")
    return stack.outputs


def _with_defaults(parameters: dict[str, str], body: str) -> dict[str, str]:
    declared = plan_templates.parse(body).get("Parameters", {})
    return {name: parameters.get(name, str(one.get("Default", ""))) for name, one in declared.items()}


def _bootstrap(order: Order, target: Target, report: Reporter, confirm: Confirm, stack: Stack, body: str) -> Stack:
    """Create or change the bucket's stack, in the same way as the platform's own."""
    cloudformation = target.client("cloudformation")
    if is_failed_creation(stack):
        stack = delete_failed_creation(cloudformation, stack)
    check_owned(stack)
    check_ready(stack, order.environment)
    tree = describe_tree(cloudformation, stack) if stack.exists else StackTree(stack)
    before = (deployed_templates(cloudformation, tree), stack.parameters) if stack.exists else None
    after = (plan_templates.Tree(plan_templates.parse(body)), order.bootstrap)
    compared = planning.comparison(ARTIFACTS_STACK, before, after, target.pseudo_parameters())
    with proposed(cloudformation, stack, order.bootstrap, TemplateBody=body) as proposal:
        if proposal is None:
            return stack
        plan = compared.plan(proposal.changes, proposal.notices)
        report.plan(plan)
        if not confirm(f"Deploy {ARTIFACTS_STACK}?", [danger.name for danger in dangers(plan.stack)]):
            raise Aborted(f"{ARTIFACTS_STACK}: not deployed; the change set is deleted")
        execute(proposal, tree, plan, order.environment, target, report)
    return describe(cloudformation, ARTIFACTS_STACK)


def _ready(order: Order, cloudformation: Any, report: Reporter) -> Stack:
    """The platform's stack, once it can take a change set."""
    stack = describe(cloudformation, order.stack_name)
    if order.wait and stack.busy:
        stack = wait_until_idle(cloudformation, order.stack_name, lambda said: report.step("Waiting", said))
    if is_failed_creation(stack) and not order.only_plan:
        report.step("Deleting", f"{stack.name}, which is left of a creation that failed")
        stack = delete_failed_creation(cloudformation, stack)
    if not order.adopt:
        check_owned(stack)
    check_ready(stack, order.environment)
    return stack


def _upload(order: Order, target: Target, packaged: Package, account: str, report: Reporter) -> None:
    """What cfn-lint refuses is not even uploaded."""
    report.step("Validating", f"{len(list(order.templates.glob('*.yaml')))} templates with cfn-lint")
    check_lint(order.templates)
    layers = order.parameters.get("Gateway") == "stripe"
    report.step("Packaging", f"{len(packaged.files)} files" + (", and the layer" if layers else ""))
    uploaded = upload(packaged, target.client("s3"), account, layers=layers)
    report.step("Uploaded", f"{uploaded} of them, the others are there")


def execute(
    proposal: Proposal, tree: StackTree, plan: Plan, environment: str, target: Target, report: Reporter
) -> None:
    """Raises ``DeploymentFailed``, after the report of it."""
    with report.watching(plan, tree.stack.name) as watching:
        follow.execute(proposal, tree, follow.Follow(environment, watching, target.poll_seconds))


class _Deployment:
    """The second half: there is something to change, and all that it needs is uploaded."""

    def __init__(
        self,
        order: Order,
        target: Target,
        report: Reporter,
        confirm: Confirm,
        packaged: Package,
        stack: Stack,
        account: str,
        bucket: dict[str, str],
    ) -> None:
        self._order, self._target, self._report, self._confirm = order, target, report, confirm
        self._packaged, self._stack, self._account, self._bucket = packaged, stack, account, bucket
        self._cloudformation = target.client("cloudformation")
        self._tree = describe_tree(self._cloudformation, stack) if stack.exists else StackTree(stack)
        self._before = deployed_templates(self._cloudformation, self._tree) if stack.exists else None
        self._after = planning.packaged_tree(packaged)

    def run(self) -> Deployed:
        order, stack = self._order, self._stack
        compared = planning.comparison(
            stack.name,
            (self._before, stack.parameters) if self._before else None,
            (self._after, order.parameters),
            self._target.pseudo_parameters(),
        )
        options, notices = self._options(compared)
        source = {"TemplateURL": self._packaged.template_url}
        self._report.step("Planning", f"a change set of {stack.name}")
        with proposed(self._cloudformation, stack, order.parameters, options, **source) as proposal:
            if proposal is None:
                return Deployed(stack.outputs, changed=False)
            plan = compared.plan(proposal.changes, (*proposal.notices, *notices))
            self._report.plan(plan)
            if order.only_plan:
                if order.out:
                    self._save(proposal, plan, order.out)
                return Deployed(stack.outputs, changed=True)
            lost = asked_to_go(plan, order.destroys)
            if not self._confirm(f"Deploy {stack.name}?", [danger.name for danger in lost]):
                raise Aborted(f"{stack.name}: not deployed; the change set is deleted")
            with protect.let_go(self._cloudformation, self._tree, lost):
                execute(proposal, self._tree, plan, order.environment, self._target, self._report)
        return self._finish()

    def _options(self, compared: planning.Comparison) -> tuple[Options, list[str]]:
        """The role that CloudFormation assumes, and the alarms that roll back; there are none before the first time."""
        alarms: tuple[str, ...] = ()
        notices: list[str] = []
        if self._stack.exists and self._order.rollout.rollback_on_alarms:
            cloudwatch = self._target.client("cloudwatch")
            alarms, notices = protect.triggers(cloudwatch, self._stack.outputs, compared.changes)
        role = self._bucket.get("ServiceRoleArn", "")
        return Options(role, alarms, self._order.rollout.monitoring_minutes), notices

    def _save(self, proposal: Proposal, plan: Plan, path: Path) -> None:
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
            ),
        )
        proposal.kept = True

    def _finish(self) -> Deployed:
        done = finish(self._order, self._target, self._report)
        tidy_up(self._order, self._target, self._report, self._before, self._after, self._packaged.destination)
        return done


def tidy_up(
    order: Order,
    target: Target,
    report: Reporter,
    before: plan_templates.Tree | None,
    after: plan_templates.Tree,
    destination: Destination,
) -> None:
    """Let artifacts expire that are needed no more, and keep the templates to compare with offline.

    It has been deployed: what goes wrong from here is said, not raised.
    """
    try:
        account = target.account
        root = original(target.client("cloudformation"), order.stack_name)
        needed = {destination.key(root.encode(), ".yaml")} | keys(after, destination)
        needed |= keys(before, destination) if before else set()
        retire(target.client("s3"), destination, account, needed)
        if order.record:
            last = saved.LastDeployment(
                stack_name=order.stack_name,
                account=account,
                region=target.region,
                deployed_at=datetime.now(UTC).isoformat(),
                bucket=destination.bucket,
                endpoint=destination.endpoint,
                parameters=order.parameters,
                tree=after,
            )
            saved.save_deployment(order.record, last)
    except (*AWS_ERRORS, DeployError) as error:
        said = str(error) if isinstance(error, DeployError) else explained(error)
        report.step("Deployed,", f"but not tidied up: {said}")


def asked_to_go(plan: Plan, destroys: Sequence[str]) -> list[Danger]:
    """What is lost with its data. Raises ``DeployError`` for a name that may go and does not: it is misspelt."""
    lost = dangers(plan.stack)
    names = {danger.name for danger in lost}
    for name in destroys:
        if name not in names:
            raise DeployError(f"--destroys {name}: the plan loses {', '.join(sorted(names)) or 'nothing'}")
    return lost


def finish(order: Order, target: Target, report: Reporter) -> Deployed:
    """Protect the stack, as its environment asks for, and read its outputs."""
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, order.stack_name)
    _protect(order, cloudformation, stack, report)
    return Deployed(stack.outputs, changed=True)


def _protect(order: Order, cloudformation: Any, stack: Stack, report: Reporter) -> None:
    """As the environment asks for, where it is not so yet; failures are said, not raised: it has been deployed."""
    try:
        if order.rollout.termination_protection and not stack.termination_protection:
            protect.terminate_never(cloudformation, stack.name)
            report.step("Protected", f"{stack.name} from being deleted")
        if order.rollout.stack_policy and not protect.keeps_data(cloudformation, stack):
            protect.keep_data(cloudformation, describe_tree(cloudformation, stack))
            report.step("Protected", "what holds data, by stack policies")
    except AWS_ERRORS as error:
        report.step("Deployed,", f"but not protected: {explained(error)}")


def apply(order: Order, path: Path, target: Target, report: Reporter, confirm: Confirm) -> Deployed:
    """Execute exactly the change set of a saved plan. Raises ``DeployError`` if anything has moved since."""
    plan = saved.load_plan(path)
    _check_place(plan, order, target, path)
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, plan.stack_id)
    tree = describe_tree(cloudformation, stack) if stack.exists else StackTree(stack)
    try:
        check_ready(stack, order.environment)
        if {one.id: one.changed_at for _, one in tree.walk() if one.exists} != plan.changed_at:
            raise DeployError("the stack, or one nested in it, was changed since; plan again")
        proposal = change_set.existing(cloudformation, plan.change_set_id)
        if saved.digest(proposal.changes) != plan.digest:
            raise DeployError("its change set says something else by now; plan again")
    except DeployError as error:
        raise DeployError(f"{path}: {error}") from None
    report.plan(plan.plan)
    lost = asked_to_go(plan.plan, order.destroys)
    if not confirm(f"Deploy {plan.stack_name}?", [danger.name for danger in lost]):
        raise Aborted(f"{plan.stack_name}: not deployed; the plan waits, or drop it: --discard {path}")
    before = deployed_templates(cloudformation, tree) if stack.exists else None
    with protect.let_go(cloudformation, tree, lost):
        execute(proposal, tree, plan.plan, order.environment, target, report)
    path.unlink(missing_ok=True)
    done = finish(order, target, report)
    after = deployed_templates(cloudformation, describe_tree(cloudformation, describe(cloudformation, plan.stack_id)))
    bucket = describe(cloudformation, ARTIFACTS_STACK).outputs["BucketName"]
    tidy_up(order, target, report, before, after, target.destination(bucket, order.environment))
    return done


def discard(order: Order, path: Path, target: Target) -> None:
    """Delete a saved plan, its change set, and the stack in review that it may have made."""
    plan = saved.load_plan(path)
    _check_place(plan, order, target, path)
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, plan.stack_id)
    before = stack if stack.exists else Stack(plan.stack_name)
    change_set.discard(cloudformation, before, plan.change_set_id)
    path.unlink(missing_ok=True)


def _check_place(plan: saved.SavedPlan, order: Order, target: Target, path: Path) -> None:
    """The same environment, account and region."""
    here = {"environment": order.environment, "account": target.account, "region": target.region}
    for what, value in here.items():
        if getattr(plan, what) != value:
            raise DeployError(f"{path}: a plan for {what} {getattr(plan, what)}, not for {value}")
