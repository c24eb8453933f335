"""Which ways to execute a change set an environment and its stack allow, and what the plan says of the chosen ones.

The ways: with drift reverted, in express mode, with what succeeded kept after a failure, and without early validation.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-express-mode.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html
"""

from collections.abc import Iterator

from scripts.common.errors import UserError
from scripts.common.suggestion import suggest_command
from scripts.common.templates import STACK
from scripts.common.wording import join_names

from .change_set import ExecutionOptions, Proposal
from .deletion_protection import LateProtection
from .deployment_options import DeploymentOptions
from .plan.model import StackChanges
from .session import Session
from .stack import Stack
from .statuses import list_commands

_MOST_NAMES = 3
# What continues after the service has accepted the request, which express mode does not wait for.
_BACKGROUND_WORK = {
    # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
    "AWS::DynamoDB::Table": "a table is being created or changed, and its indexes are being filled",
    # https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
    "AWS::Lambda::Function": "a function is pending, or still runs its earlier code",
    # https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
    "AWS::Lambda::Alias": "an alias prepares provisioned concurrency, if it has any",
    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_UpdateStateMachine.html
    "AWS::StepFunctions::StateMachine": "executions start with the earlier definition",
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
    "AWS::SQS::Queue": "a queue does not have its new attributes yet",
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
    "AWS::IAM::Role": "permissions are not in force yet",
    "AWS::IAM::ManagedPolicy": "permissions are not in force yet",
}


def check_options(options: DeploymentOptions) -> None:
    """Raise ``UserError`` for an option that the settings of the environment do not allow."""
    environment, rollout = options.environment, options.rollout
    ways = {"--express": options.express, "--keep-failed": options.keep_failed, "code-only": options.code_only}
    flags = [name for name, is_set in ways.items() if is_set]
    if flags and rollout.protections:
        raise UserError(
            f"{flags[0]} is for development only: [{environment}.rollout] has {' and '.join(rollout.protections)}; "
            f"deploy without {flags[0]}"
        )
    for flag, setting in (("--express", "express"), ("code-only", "code_only")):
        if ways[flag] and not getattr(rollout, setting):
            raise UserError(
                f"{flag} is not allowed in {environment}; deploy without it, or set {setting} = true in "
                f"[{environment}.rollout] of stacks/environments.toml"
            )
    if len(flags) > 1:
        raise UserError(
            "--express cannot be combined with --keep-failed, because CloudFormation cannot roll back a stack that "
            "failed in express mode; choose one of them"
        )


def check_continuation(options: DeploymentOptions, stack: Stack) -> None:
    """Raise ``UserError`` if the deployment cannot go on from what there is, or from what a failure has kept."""
    if options.revert_drift and not stack.exists:
        raise UserError(
            f"--revert-drift: {stack.name} does not exist yet, so nothing can have drifted; deploy without it: "
            f"{suggest_command('deploy', options.environment)}"
        )
    if not stack.keeps_failed:
        return
    reason = ""
    if options.rollout.protections:
        reason = f"it would go on without rollback, which {options.rollout.protections[0]} forbids"
    elif options.express:
        reason = "express mode, with rollback, cannot go on from there; deploy without --express"
    elif options.imports_existing:
        reason = "a rollback of what was kept might delete what is imported; deploy without importing"
    if reason:
        raise UserError(
            f"{stack.name} is {stack.status}: {reason}; or roll it back: "
            f"{list_commands(stack.name, options.environment)['rollback']}"
        )


def check_change_set(options: DeploymentOptions, stack: Stack, changes: StackChanges, late: LateProtection) -> None:
    """Raise ``UserError`` if CloudFormation cannot carry out the changes in the chosen way."""
    if options.express and late.paths:
        raise UserError(
            f"--express cannot create {', '.join(late.paths)}: deletion protection is switched on by a second change "
            "set, which needs the tables to be ready; deploy without --express"
        )
    if not keeps_failed(options, stack):
        return
    replaced = [
        path for path, change in changes.walk() if change.replacement == "True" and change.resource_type != STACK
    ]
    if replaced:
        way = f"{stack.name} is {stack.status}" if stack.keeps_failed else "--keep-failed"
        rollback = list_commands(stack.name, options.environment)["rollback"]
        advice = f"roll back with {rollback}, and then deploy again"
        raise UserError(
            f"{way}: without rollback CloudFormation replaces no resource, here {join_names(replaced, _MOST_NAMES)}; "
            f"{advice if stack.keeps_failed else 'deploy without --keep-failed'}"
        )


def keeps_failed(options: DeploymentOptions, stack: Stack) -> bool:
    """Whether a failure of the deployment rolls nothing back: as asked for, or because an earlier one kept something.

    CloudFormation updates a stack in CREATE_FAILED or UPDATE_FAILED only without rollback.
    """
    return options.keep_failed or stack.keeps_failed


def watches_alarms(options: DeploymentOptions, stack: Stack) -> bool:
    """Whether alarms may be rollback triggers: not in express mode, and not where a failure rolls nothing back."""
    return not options.express and not keeps_failed(options, stack)


def check_unfinished(options: DeploymentOptions, stack: Stack) -> None:
    """Raise ``UserError`` if a stack with failed resources has nothing to change, so that a change set retries none."""
    if stack.keeps_failed:
        raise UserError(
            f"{stack.name} is {stack.status}, and CloudFormation finds nothing to change; change the resource that "
            f"failed, or roll back: {list_commands(stack.name, options.environment)['rollback']}"
        )


def choose_execution(
    options: DeploymentOptions, stack: Stack, role_arn: str, alarms: tuple[str, ...]
) -> ExecutionOptions:
    """Return how to execute the change set."""
    return ExecutionOptions(
        role_arn,
        alarms,
        options.rollout.monitoring_minutes,
        is_express=options.express,
        skips_validation=options.skip_validation,
        keeps_failed=keeps_failed(options, stack),
        imports_existing=options.imports_existing,
        revert_drift=options.revert_drift,
    )


def describe_execution(execution: ExecutionOptions, stack: Stack, changes: StackChanges) -> tuple[str, ...]:
    """Return a notice for the plan for each way in which the deployment differs."""
    notices = []
    if execution.is_express:
        work = "; ".join(_describe_background_work(changes))
        notices.append(
            "--express: CloudFormation does not wait until the resources are ready, and watches no alarms"
            + (f"; after the deployment, for some time: {work}" if work else "")
        )
    if stack.keeps_failed:
        notices.append(
            f"{stack.name} is {stack.status}: this deployment goes on from what was kept; if it fails, too, nothing is "
            "rolled back"
        )
    elif execution.keeps_failed:
        notices.append("--keep-failed: if the deployment fails, nothing is rolled back, and no alarms are watched")
    if execution.skips_validation:
        notices.append(
            "--skip-validation: CloudFormation does not check property values, names that are taken, service quotas, "
            "and buckets and repositories to delete, before it changes the first resource"
        )
    return tuple(notices)


def _describe_background_work(changes: StackChanges) -> Iterator[str]:
    """Yield what continues, each with the paths of the changed resources that it concerns."""
    paths: dict[str, list[str]] = {}
    for path, change in changes.walk():
        if change.action == "Remove" and change.resource_type != STACK and change.policy_action == "Delete":
            paths.setdefault("a resource is being deleted", []).append(path)
        elif change.resource_type in _BACKGROUND_WORK and not change.is_spurious:
            paths.setdefault(_BACKGROUND_WORK[change.resource_type], []).append(path)
    for work, names in paths.items():
        yield f"{work} ({join_names(names, _MOST_NAMES)})"


def announce_background_work(session: Session, proposal: Proposal) -> None:
    """After a deployment in express mode, say how to see that the resources are ready."""
    if proposal.is_express:
        environment = session.options.environment
        session.report.announce_step(
            "Not ready", f"until {suggest_command('verify', environment)} succeeds: resources may be initializing"
        )
