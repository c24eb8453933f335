"""The change of the artifacts stack, which is planned, confirmed and executed together with that of the platform.

What adds rights is executed before the platform's change set, and what takes rights away after it has succeeded; if one
change does both, the stack is updated twice (transition.py).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from botocore.exceptions import ClientError

from scripts.common import templates
from scripts.common.errors import UserError, describe_error, is_denied
from stacks import emit

from . import transition
from .change_set import ExecutionOptions, Proposal, create_change_set, read_proposed_template, remove_abandoned
from .deployment_options import ARTIFACTS_STACK, stack_name
from .follow import execute_and_follow
from .package import PLANS, Package
from .plan.model import Plan, StackChanges
from .planning import Comparison, compare_trees
from .session import Session
from .stack import Stack, StackTree, check_owned, check_ready, describe_stack, is_deployed, read_original_template
from .unneeded_artifacts import delete_unneeded_artifacts
from .upload import upload_package

# Bytes of a template in a request.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
LONGEST_BODY = 51_200
_BY_COMPARISON = (
    f"This caller may not create a change set of {ARTIFACTS_STACK}: its plan comes from comparing the deployed "
    "template with the new one."
)


@dataclass(frozen=True)
class Steps:
    """When the artifacts stack is updated: before the platform, after it, or both."""

    before: bool = False
    after: bool = False


@dataclass(frozen=True)
class BootstrapChange:
    """How the artifacts stack differs from its template and settings."""

    stack: Stack
    compared: Comparison
    # The template in force in the end, and its parameters; and the one while the platform is deployed, or why there is
    # none.
    text: str
    parameters: dict[str, str]
    steps: Steps = Steps()
    text_during: str = ""
    problem: str = ""
    # The environments whose rights of an earlier release stay.
    kept_for: tuple[str, ...] = ()


def complete_parameters(parameters: dict[str, str], body: str) -> dict[str, str]:
    """Return the value of each parameter that the template declares: the given one, or the default."""
    declared = templates.parse_template(body).get("Parameters", {})
    return {name: parameters.get(name, str(parameter.get("Default", ""))) for name, parameter in declared.items()}


def fits_into_request(body: str) -> bool:
    return len(body.encode()) <= LONGEST_BODY


def find_change(session: Session, stack: Stack) -> BootstrapChange | None:
    """Return how the existing stack differs, or None if a deployment of this environment has nothing to change in it.

    Raises ``UserError`` if the stack cannot be updated, or not so that other environments keep their rights.
    """
    options, cloudformation = session.options, session.cloudformation
    body = (options.templates / "artifacts.yaml").read_text(encoding="utf-8")
    parameters = complete_parameters(options.bootstrap, body)
    if is_deployed(cloudformation, stack, body, parameters):
        return None
    pseudo = session.target.pseudo_parameters()
    old = templates.parse_template(read_original_template(cloudformation, stack.name))
    deployed = transition.Release.from_template(old, stack.parameters, pseudo)
    new = transition.Release.from_template(templates.parse_template(body), parameters, pseudo)
    other_environments = tuple(_list_other_environments(session, {*transition.list_environments(old)}))
    end = transition.add_kept_rights(deployed, new, transition.keep_of(other_environments))
    compared = _compare(session, (old, stack.parameters), (end, parameters))
    if compared.is_empty:
        return None
    check_owned(stack)
    check_ready(stack)
    kept_for = other_environments if end != new.template else ()
    text = emit.to_yaml(end) if kept_for else body
    change = BootstrapChange(stack, compared, text, parameters, kept_for=kept_for)
    try:
        during = transition.add_kept_rights(deployed, new, transition.keep_all)
    except UserError as error:
        return replace(change, steps=Steps(before=True, after=True), problem=str(error))
    steps = Steps(
        before=not _compare(session, (old, stack.parameters), (during, parameters)).is_empty,
        after=not _compare(session, (during, parameters), (end, parameters)).is_empty,
    )
    return replace(change, steps=steps, text_during=emit.to_yaml(during) if steps.after else text)


# A template with its parameters.
_Source = tuple[templates.Template, dict[str, str]]


def _compare(session: Session, before: _Source, after: _Source) -> Comparison:
    old, new = ((templates.Tree(template), parameters) for template, parameters in (before, after))
    return compare_trees(ARTIFACTS_STACK, old, new, session.target.pseudo_parameters())


def _list_other_environments(session: Session, environments: set[str]) -> Iterator[str]:
    for environment in sorted(environments - {session.options.environment}):
        if describe_stack(session.cloudformation, stack_name(environment)).exists:
            yield environment


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
    sets: ExitStack = field(default_factory=ExitStack)

    def join_platform(self) -> None:
        """Prepare for a deployment of the platform between the steps. Raises ``UserError`` if that is not possible."""
        steps, options = self.change.steps, self.session.options
        if self.change.problem:
            raise UserError(f"{self.change.problem}; nothing was changed")
        is_kept = not options.only_plan or options.out is not None
        if steps.before and steps.after and is_kept and self.final is not None:
            self.first = self.sets.enter_context(_create(self.session, self.change, self.change.text_during))

    def describe_steps(self) -> tuple[str, ...]:
        """Return the notices of when the stack is updated, if the platform is deployed as well."""
        platform = self.session.options.stack_name
        steps = self.change.steps
        if steps.before and steps.after:
            return (
                f"{ARTIFACTS_STACK} is updated twice: what it adds is added before {platform} is deployed, and what it "
                "takes away stays until that has succeeded",
            )
        if steps.after:
            return (f"{ARTIFACTS_STACK} takes this away only after {platform} has been deployed",)
        return (f"{ARTIFACTS_STACK} is updated before {platform}",)

    def execute_alone(self) -> None:
        """Execute the whole change at once, without a deployment of the platform."""
        self._execute(self.require_final())
        self._tidy_up()

    def execute_before(self) -> None:
        """Add what the deployment of the platform needs."""
        if self.change.steps.before:
            self._execute(self.first or self.require_final())
            if not self.change.steps.after:
                self._tidy_up()

    def execute_after(self) -> None:
        """Take away what nothing needs after the deployment of the platform.

        Raises ``UserError`` if the change is another one than in the plan.
        """
        if not self.change.steps.after:
            return
        if not self.change.steps.before:
            self._execute(self.require_final())
        else:
            # The execution of the first change set has deleted that of the plan.
            stack = describe_stack(self.session.cloudformation, ARTIFACTS_STACK)
            with _create(self.session, replace(self.change, stack=stack), self.change.text) as proposal:
                if proposal is not None:
                    check_within(proposal.changes, self.plan.stack)
                    self._execute(proposal)
        self._tidy_up()

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
            delete_unneeded_artifacts(target.client("s3"), destination, target.account, {key})
        except ClientError as error:
            reason = describe_error(error)
            self.session.report.announce_step("Deployed,", f"but earlier templates stay in the bucket: {reason}")


def check_within(changes: StackChanges, planned: StackChanges) -> None:
    """Raise ``UserError`` if a change is not in the plan, apart from rights that roles have only in between."""
    paths = {path for path, _ in planned.walk()}
    for path, change in changes.walk():
        is_in_between = change.resource_type == "AWS::IAM::Role" and all(
            prop.name.split("/")[0] == "Policies" for prop in change.properties
        )
        if path not in paths and not is_in_between:
            raise UserError(f"{ARTIFACTS_STACK}: {path} would change, which is not in the plan; deploy again")


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
    if not session.options.only_plan:
        for line in remove_abandoned(session.cloudformation, change.stack):
            session.report.announce_step("Deleted", line)
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
            yield BootstrapProposal(session, change, None, plan, [*describe_kept(session, change), str(denial)])
            return
        if final is None:
            yield None
            return
        plan = change.compared.make_plan(final.changes, final.notices)
        yield BootstrapProposal(session, change, final, plan, [*describe_kept(session, change)], sets=sets)


def read_proposal(
    session: Session, stack: Stack, final: Proposal, steps: tuple[bool, bool], remarks: list[str]
) -> BootstrapProposal:
    """Return the proposal of a saved change set, with the plan that follows from it."""
    old = templates.parse_template(read_original_template(session.cloudformation, stack.name))
    text = read_proposed_template(final)
    new = templates.parse_template(text)
    compared = _compare(session, (old, stack.parameters), (new, final.parameters))
    # A template in JSON is returned parsed.
    body = text if isinstance(text, str) else emit.to_yaml(new)
    change = BootstrapChange(stack, compared, body, final.parameters, Steps(*steps))
    return BootstrapProposal(session, change, final, compared.make_plan(final.changes, final.notices), remarks)


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


def describe_kept(session: Session, change: BootstrapChange) -> tuple[str, ...]:
    """Return the notice of the rights that other environments keep, if they do."""
    if not change.kept_for:
        return ()
    platforms = ", ".join(map(stack_name, change.kept_for))
    environment = session.options.environment
    return (
        f"rights that only an earlier release needs are taken from {environment}, and stay for {platforms} until that "
        "is deployed as well",
    )


def _create(session: Session, change: BootstrapChange, text: str) -> AbstractContextManager[Proposal | None]:
    """Create a change set with a template, which comes from the bucket if it is too long for a request."""
    source = {"TemplateBody": text}
    if not fits_into_request(text):
        source = {"TemplateURL": upload_template(session, change, text)}
    execution = ExecutionOptions(is_saved=session.options.out is not None)
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
