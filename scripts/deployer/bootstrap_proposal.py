"""The change sets of the artifacts stack, which are confirmed and executed together with that of the platform."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from scripts.common import templates
from scripts.common.errors import (
    AWS_ERRORS,
    StillRunning,
    UserError,
    describe_error,
    is_denied,
    raise_both,
)
from scripts.common.suggestion import suggest_command

from . import transition
from .bootstrap_change import (
    BootstrapChange,
    check_not_overtaken,
    describe_kept,
    find_changed_environment,
    read_artifacts_stack,
)
from .change_set import ExecutionOptions, Incomplete, Proposal, UnknownExecution, create_change_set, describe_obstacle
from .deployment_options import ARTIFACTS_STACK, ArtifactsResult
from .drift import describe_last_detection
from .failure import DeploymentFailed
from .follow import execute_and_follow
from .package import PLANS, Package
from .plan.model import Plan, StackChanges
from .session import Session
from .stack import Stack, StackTree, describe_stack, find_later_operation
from .unneeded_artifacts import delete_artifacts, find_unneeded_artifacts
from .upload import upload_package

# Bytes of a template in a request.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LONGEST_BODY = 51_200
KEEPS_RIGHTS = f"{ARTIFACTS_STACK} keeps the permissions of both releases"
_BY_COMPARISON = (
    f"This caller may not create a change set of {ARTIFACTS_STACK}: its plan comes from comparing the deployed "
    "template with the new one."
)


class _ChangedMeanwhile(UserError):
    """Somebody else has changed the artifacts stack, to this stack and template, while the platform was deployed."""

    def __init__(self, message: str, stack: Stack, text: Any) -> None:
        super().__init__(message)
        self.stack, self.text = stack, text


@dataclass
class BootstrapProposal:
    """The change sets of the artifacts stack, which are deleted unless they are executed or saved."""

    session: Session
    change: BootstrapChange
    # Of the template in the end; None if this caller may only plan.
    final: Proposal | None
    # What follows from the change set and the templates, and the notices that do not.
    plan: Plan
    remarks: list[str] = field(default_factory=list)
    # Of the template while the platform is deployed, if the stack is updated twice.
    first: Proposal | None = None
    first_plan: Plan | None = None
    sets: ExitStack = field(default_factory=ExitStack)
    # The stack and its template before this deployment, and then as the first change set has left it.
    expected: tuple[Stack, Any] = field(init=False)
    # The states of the environments as the plan saw them, and then of that which this deployment has deployed.
    expected_environments: dict[str, str] = field(init=False)
    # Whether the stack allows what the deployment of the platform needs.
    is_widened: bool = False

    def __post_init__(self) -> None:
        self.expected = (self.change.stack, self.change.deployed_text)
        self.expected_environments = {**self.change.environments}

    def join_platform(self) -> None:
        """Prepare for a deployment of the platform between the steps. Raises ``UserError`` if that is not possible."""
        steps, options = self.change.steps, self.session.options
        if self.change.problem:
            raise UserError(f"{self.change.problem}; nothing was changed")
        is_kept = not options.only_plan or options.out is not None
        if steps.before and steps.after and is_kept and self.final is not None:
            self.first = self.sets.enter_context(_create(self.session, self.change, self.change.text_during))

    def leave_platform(self) -> None:
        """Replace the change set, which is to be saved, by one without a change of the platform: it has none."""
        if self.change.joins_platform:
            # Before the plan is saved: an interrupt of a later deletion would not name the saved plan.
            self.sets.close()
            self.change = replace(self.change, joins_platform=False)
            self.final = self.sets.enter_context(_create(self.session, self.change, self.change.text))

    def describe_steps(self, *, is_express: bool) -> tuple[str, ...]:
        """Return the notices of when the stack is updated, if the platform is deployed as well.

        ``is_express`` is whether the platform's change set is in express mode: that of a saved plan, or the command's.
        """
        platform = self.session.options.stack_name
        steps = self.change.steps
        if steps.after and is_express:
            added = f"{ARTIFACTS_STACK} adds what it adds before {platform} is deployed; " if steps.before else ""
            return (f"{added}{ARTIFACTS_STACK} takes nothing away: that waits for a deployment without --express",)
        if steps.before and steps.after:
            return (
                f"{ARTIFACTS_STACK} is updated twice: what it adds is added before {platform} is deployed, and what it "
                "takes away stays until that has succeeded",
            )
        if steps.after:
            return (f"{ARTIFACTS_STACK} takes this away only after {platform} has been deployed",)
        return (f"{ARTIFACTS_STACK} is updated before {platform}",)

    def execute_alone(self) -> ArtifactsResult:
        """Execute the whole change at once, without a deployment of the platform.

        Raises ``Overtaken`` if the stack or an environment has changed since the plan was made: it may need what is
        removed.
        """
        check_not_overtaken(self.session, self.change)
        self._execute(self.require_final())
        self._tidy_up()
        return ArtifactsResult("updated", f"{ARTIFACTS_STACK} was deployed")

    def execute_before(self) -> None:
        """Add what the deployment of the platform needs.

        Raises ``Overtaken`` if the stack or an environment has changed since it was read: the template keeps the
        rights of the releases of then. CloudFormation refuses the change set if the stack changes after this check.
        """
        options = self.session.options
        check_not_overtaken(self.session, self.change)
        try:
            self._execute(self.first or self.require_final())
        except StillRunning as error:
            raise_both(error, f"{options.stack_name} {describe_rest(options.environment)}")
        self.is_widened = True
        if self.change.steps.after:
            self.expected = read_artifacts_stack(self.session)
        else:
            self._tidy_up()

    def narrow(self, last_event: str, *, is_ready: bool) -> ArtifactsResult:
        """Take away what nothing needs after the deployment of the platform, and return what became of the stack.

        ``last_event`` is the id of the last event of the platform's stack in this deployment.
        The change is executed only if the stack is as this deployment left it, all environments are as the plan or this
        deployment left them, and the platform is ready: until then, its earlier code may still run. Because the
        platform is deployed, the only expected error that is raised is ``UserError`` if it lacks rights.
        """
        if self.change.steps.after and not is_ready:
            return self._keep_rights("an express deployment does not wait until the platform is ready")
        try:
            if self.change.steps.after:
                self._expect_platform(last_event)
                with self.session.target.watch.report_continuation():
                    self._execute_after()
        except _ChangedMeanwhile as error:
            self._check_rights(error)
            return self._keep_rights(describe_error(error))
        except UnknownExecution as error:
            command = suggest_command("deploy", self.session.options.environment)
            rest = f"if it has not, the next {command} removes permissions no longer needed"
            return ArtifactsResult("continues", f"{describe_error(error)}; {rest}")
        except StillRunning as error:
            return ArtifactsResult("continues", f"{describe_error(error)}; it removes permissions no longer needed")
        except DeploymentFailed as error:
            with suppress(KeyboardInterrupt):
                self.session.report.show_failure(error.failure)
            return self._keep_rights(describe_error(error), error.failure.next_step)
        except (UserError, KeyboardInterrupt, *AWS_ERRORS) as error:
            # Of a denial, what is said of the plan is beside the point.
            denial = (
                error.__cause__ if isinstance(error.__cause__, ClientError) and is_denied(error.__cause__) else None
            )
            return self._keep_rights(describe_obstacle(denial or error))
        if self.change.steps.after:
            self._tidy_up()
        return ArtifactsResult("updated", f"{ARTIFACTS_STACK} was deployed")

    def _keep_rights(self, reason: str, next_step: str = "") -> ArtifactsResult:
        command = suggest_command("deploy", self.session.options.environment)
        next_run = f"the next {command} removes those no longer needed"
        steps = "; then ".join(filter(None, (next_step, next_run)))
        return ArtifactsResult("kept", f"{KEEPS_RIGHTS}, because {reason}; {steps}")

    def _expect_platform(self, last_event: str) -> None:
        """Take the platform as this deployment has left it. Raises ``UserError`` if there was another one since."""
        cloudformation, options = self.session.cloudformation, self.session.options
        platform = describe_stack(cloudformation, options.stack_name)
        if reason := find_later_operation(cloudformation, platform, last_event):
            raise UserError(f"{reason} before {ARTIFACTS_STACK} was updated")
        self.expected_environments[options.environment] = platform.state

    def _execute_after(self) -> None:
        if not self.change.steps.before:
            self._check_unchanged()
            self._execute(self.require_final())
            return
        # The execution of the first change set has deleted that of the plan.
        stack = self.expected[0]
        with _create(self.session, replace(self.change, stack=stack), self.change.text) as proposal:
            # Only now: a change of the stack after the creation would make the change set obsolete.
            self._check_unchanged()
            if proposal is not None:
                check_within(proposal.changes, self.plan.stack)
                self._execute(proposal)

    def _check_unchanged(self) -> None:
        """Raise ``UserError`` if the stack is not as this deployment left it, or another environment has changed."""
        (expected, expected_text), (stack, text) = self.expected, read_artifacts_stack(self.session)
        # What this deployment has executed, whatever the stack had when it was read again.
        expected_text = self.change.text_during if self.change.steps.before else expected_text
        is_same = (stack.state, stack.parameters) == (expected.state, expected.parameters)
        if not is_same or templates.parse_template(text) != templates.parse_template(expected_text):
            platform = self.session.options.stack_name
            raise _ChangedMeanwhile(f"{ARTIFACTS_STACK} was changed while {platform} was deployed", stack, text)
        if reason := self.find_changed_environment():
            raise UserError(reason)

    def _check_rights(self, change: _ChangedMeanwhile) -> None:
        """Raise ``UserError`` unless the stack, which somebody has changed, allows all that the new release needs."""
        options, pseudo = self.session.options, self.session.target.pseudo_parameters()
        deployed, new = (
            transition.Release.from_template(templates.parse_template(body), parameters, pseudo)
            for body, parameters in (
                (change.text, change.stack.parameters),
                (self.change.text, self.change.parameters),
            )
        )
        # What a change from the new release to the deployed one would take from this environment.
        lacks_rights = True
        with suppress(UserError):  # there is something to add, and no room for it
            complete = transition.add_kept_rights(new, deployed, transition.keep_of([options.environment]))
            lacks_rights = complete != deployed.template
        if lacks_rights:
            raise Incomplete(
                f"{options.stack_name} is deployed, but {describe_error(change)}, and lacks permissions that this "
                f"release needs; add them with {suggest_command('deploy', options.environment)}"
            )

    def find_changed_environment(self) -> str:
        """Return the environment that has changed since the plan was made, as a sentence, or an empty text.

        From another one that was deleted, nothing can be taken away; what the plan keeps for it, the next one removes.
        """
        return find_changed_environment(self.session, self.expected_environments)

    def require_final(self) -> Proposal:
        if self.final is None:
            raise UserError(_BY_COMPARISON)
        return self.final

    def _execute(self, proposal: Proposal) -> None:
        try:
            with self.session.follow_stack(self.plan, ARTIFACTS_STACK) as following:
                execute_and_follow(proposal, StackTree(self.change.stack), following)
        except ClientError as error:
            raise explain_denial(error) from error

    def _tidy_up(self) -> None:
        if fits_into_request(self.change.text):
            return
        target = self.session.target
        destination = target.destination(self.change.stack.outputs["BucketName"], "bootstrap")
        key = destination.content_key(self.change.text.encode(), ".yaml")
        try:
            s3, account = target.client("s3"), target.account
            delete_artifacts(s3, destination, account, find_unneeded_artifacts(s3, destination, account, {key}))
        except (*AWS_ERRORS, KeyboardInterrupt) as error:
            reason = describe_error(error)
            self.session.report.announce_step("Deployed,", f"but earlier templates stay in the bucket: {reason}")


@contextmanager
def propose_change(session: Session, change: BootstrapChange | None) -> Iterator[BootstrapProposal | None]:
    """Create the change set of the artifacts stack, and yield the proposal; None if there is nothing to change.

    A caller who may not create it still sees a plan, from a comparison. Raises ``UserError`` if this caller wants more
    than a plan.
    """
    if change is None:
        yield None
        return
    session.report.announce_step("Planning", f"a change set of {ARTIFACTS_STACK}")
    with ExitStack() as sets:
        try:
            final = sets.enter_context(_create(session, change, change.text))
        except (ClientError, UserError) as error:
            denial = explain_denial(error)
            if denial is error:
                raise
            if not session.options.only_plan or session.options.out:
                raise denial from error
            plan = change.compared.make_offline_plan(_BY_COMPARISON)
            remarks = [*_describe_state(session, change, plan), str(denial)]
            check_not_overtaken(session, change)
            yield BootstrapProposal(session, change, None, plan, remarks)
            return
        if final is None:
            yield None
            return
        check_not_overtaken(session, change)
        plan = change.compared.make_plan(final.changes, final.notices)
        yield BootstrapProposal(session, change, final, plan, _describe_state(session, change, plan), sets=sets)
        _delete_rest(session, sets)


def _delete_rest(session: Session, sets: ExitStack) -> None:
    """Delete the change sets that were not executed; what is left after a deployment does not make it a failure."""
    try:
        sets.close()
    except UserError as leftover:
        if session.options.only_plan:
            raise
        session.report.announce_step("Warning", str(leftover))


def _describe_state(session: Session, change: BootstrapChange, plan: Plan) -> list[str]:
    """Return the notices of what the change meets: other environments, and drift of what it changes."""
    tree = StackTree(change.stack)
    detected = describe_last_detection(session.cloudformation, plan.stack, tree, environment="")
    return [*describe_kept(session, change), *detected]


def check_within(changes: StackChanges, planned: StackChanges) -> None:
    """Raise ``UserError`` if a change is not in the plan, apart from rights that roles have only in between."""
    paths = {path for path, _ in planned.walk()}
    for path, change in changes.walk():
        is_in_between = change.resource_type == "AWS::IAM::Role" and all(
            prop.name.split("/")[0] == "Policies" for prop in change.properties
        )
        if path not in paths and not is_in_between:
            raise UserError(f"{ARTIFACTS_STACK}: {path} would change, which is not in the plan; deploy again")


def describe_rest(environment: str) -> str:
    """Return what becomes of the platform if the artifacts stack is no longer watched, and how to continue."""
    command = suggest_command("deploy", environment)
    return f"will not be deployed; when {ARTIFACTS_STACK} is complete, continue with {command}"


def explain_denial(error: ClientError | UserError) -> Exception:
    """Return what to tell a caller who may not update the stack; any other error as it is."""
    # A caller who may not create a change set may not look for it either, which makes it an error of both.
    cause = error if isinstance(error, ClientError) else error.__cause__
    if not isinstance(cause, ClientError) or not is_denied(cause):
        return error
    if isinstance(error, UserError) and cause.operation_name != "CreateChangeSet":
        return error
    return UserError(
        f"{ARTIFACTS_STACK} differs from templates/artifacts.yaml and [bootstrap], and this caller is not allowed to "
        f"update it; deploy once with credentials that have the permissions: {describe_error(cause)}"
    )


def fits_into_request(body: str) -> bool:
    return len(body.encode()) <= LONGEST_BODY


def _create(session: Session, change: BootstrapChange, text: str) -> AbstractContextManager[Proposal | None]:
    """Create a change set with a template, which comes from the bucket if it is too long for a request."""
    source = {"TemplateBody": text}
    if not fits_into_request(text):
        source = {"TemplateURL": upload_template(session, change, text)}
    execution = ExecutionOptions(saved_plan=session.describe_change_set(change.terms))
    return create_change_set(session.cloudformation, change.stack, change.parameters, execution, **source)


def upload_template(session: Session, change: BootstrapChange, text: str) -> str:
    """Upload a template of the artifacts stack, and return its URL; that of a plan goes where plans go."""
    options, target = session.options, session.target
    destination = target.destination(change.stack.outputs["BucketName"], "bootstrap")
    if options.only_plan and not options.out:
        destination = replace(destination, prefix=destination.prefix.replace("payment-platform/", f"{PLANS}/", 1))
    key = destination.content_key(text.encode(), ".yaml")
    upload_package(Package(destination, {key: text.encode()}, key, text), target.client("s3"), target.account)
    return destination.object_url(key)
