"""Puts the code in lambda/ into the deployed functions, without a deployment."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.common.clients import LambdaClient
from scripts.common.errors import UserError
from scripts.common.suggestion import suggest_command
from scripts.common.templates import STACK, Tree
from scripts.common.wording import join_names

from .abandoned import is_pending, list_change_sets
from .change_set import Overtaken, check_unchanged, describe_obstacle, suggest_deletion
from .deployment_options import ARTIFACTS_STACK, Deployed
from .live_functions import (
    ALIAS,
    FUNCTION,
    UNPUBLISHED,
    VERSION,
    LiveFunction,
    count_functions,
    find_changed_aliases,
    find_live_functions,
    put_code,
    take_code_back,
)
from .package import package_templates
from .plan.model import StackChanges
from .planning import compare_trees, parse_package
from .session import Session
from .stack import Snapshot, Stack, check_owned, check_ready, describe_environment, describe_stack, read_snapshot
from .statuses import list_commands
from .validate import check_fresh

# The properties by which templates differ if only the code does: its key, the version's digest, and the version.
_OF_CODE = {FUNCTION: {"Code"}, VERSION: {"Description"}, ALIAS: {"FunctionVersion"}}
_MOST_NAMES = 5


@dataclass(frozen=True)
class _Update:
    function: LiveFunction
    # A zip.
    code: bytes

    @property
    def digest(self) -> str:
        """The SHA-256 in base64, as Lambda has it."""
        return base64.b64encode(hashlib.sha256(self.code).digest()).decode()


def update_code(session: Session) -> Deployed:
    """Put the code into the functions, and point their aliases to it; or take that back, if it is what is deployed.

    Raises ``UserError`` if anything but code differs from what is deployed, and what ``put_code`` raises.
    """
    options, cloudformation = session.options, session.cloudformation
    check_fresh(options.templates, but_code=True)
    stack = _find_stack(session)
    deployed = read_snapshot(cloudformation, stack)
    bucket = describe_stack(cloudformation, ARTIFACTS_STACK).outputs.get("BucketName", "")
    destination = session.target.destination(bucket, options.environment)
    packaged = package_templates(options.templates / "parent.yaml", destination, session.target.runtime)
    after, functions = parse_package(packaged), find_live_functions(deployed)
    _check_differences(session, deployed, after, functions)
    updates = [_Update(function, packaged.files[_find_key(after, function.path)]) for function in functions]
    try:
        updated = _update_functions(session, deployed, updates)
    except Overtaken as error:
        _check_undisturbed(session, stack)
        command = suggest_command("deploy", "code-only", options.environment)
        raise UserError(f"{describe_obstacle(error)}; put the code again: {command}") from error
    _check_undisturbed(session, stack)
    return updated


def _find_stack(session: Session) -> Stack:
    """Return the platform's stack. Raises ``UserError`` if it is not deployed, not ours, busy or failed."""
    environment = session.options.environment
    stack = describe_environment(session.cloudformation, environment)
    check_owned(stack, adopting_command=suggest_command("deploy", environment, "--adopt"))
    check_ready(stack, environment)
    if stack.keeps_failed:
        commands = list_commands(stack.name, environment)
        raise UserError(
            f"{stack.name} is {stack.status}, so what its functions should run is not certain; deploy first: "
            f"{commands['deploy']}; or roll back: {commands['rollback']}"
        )
    return stack


def _check_differences(session: Session, deployed: Snapshot, after: Tree, functions: list[LiveFunction]) -> None:
    """Raise ``UserError`` if the functions, or anything else, differ from what is deployed in more than their code."""
    options = session.options
    source, pseudo = (after, options.parameters), session.target.pseudo_parameters()
    compared = compare_trees(options.stack_name, deployed.source, source, pseudo)
    live = {function.path for function in functions}
    if others := list(_list_other_changes(compared.changes, live)):
        raise UserError(
            f"code-only changes nothing but code, and {join_names(others, _MOST_NAMES)} "
            f"{'differs' if len(others) == 1 else 'differ'} from what is deployed, too; nothing was changed; deploy: "
            f"{suggest_command('deploy', options.environment)}"
        )


def _list_other_changes(changes: StackChanges, live: set[str]) -> Iterator[str]:
    """Yield the paths of the resources that change in more than code, or have code and no alias."""
    for path, change in changes.walk():
        if change.is_spurious or (change.action == "Modify" and change.resource_type == STACK):
            continue
        properties = {prop.name.split("/")[0] for prop in change.properties}
        is_of_code = change.action == "Modify" and properties <= _OF_CODE.get(change.resource_type, set())
        if not is_of_code or (change.resource_type == FUNCTION and path not in live):
            yield path


def _find_key(tree: Tree, path: str) -> str:
    """Return the key of the code of a function in the package."""
    *stacks, logical_id = path.split("/")
    for name in stacks:
        tree = tree.nested[name]
    return str(tree.resources()[logical_id]["Properties"]["Code"]["S3Key"])


def _update_functions(session: Session, deployed: Snapshot, updates: list[_Update]) -> Deployed:
    client, outputs = session.target.client("lambda"), deployed.tree.stack.outputs
    if all(update.digest == _read_published_digest(client, update.function) for update in updates):
        names = take_code_back(session, deployed)
        message = "the functions run the code of the last deployment again, which is that of lambda/"
        return Deployed(outputs, changed=bool(names), message=message)
    _check_no_deployment(session, deployed.tree.stack, "nothing was changed")
    marked, updated = find_changed_aliases(client, deployed.tree), []
    # The marks come first (live_functions.py). A deployment creates its change set, and then looks for marks; this sets
    # its marks, and then looks for change sets: so of two at the same time, at least one sees the other. A saved plan
    # is seen once it is executed.
    for update in updates:
        if update.function.alias not in marked:
            _mark(session, deployed, update.function)
    fate = f"functions are at {UNPUBLISHED}, which the next deployment takes back"
    for update in updates:
        alias = update.function.alias
        # Each time: a deployment may begin, and take the marks back, while the code of another function is put.
        _check_no_deployment(session, deployed.tree.stack, fate)
        is_changed = put_code(session, alias.function, update.digest, deployed, ZipFile=update.code)
        if is_changed or alias not in marked:
            session.report.announce_step("Updated", f"{alias.function}: {alias.name} is {UNPUBLISHED}")
            updated.append(alias.function)
        # A deployment that takes code back may have removed the mark meanwhile.
        if client.get_alias(FunctionName=alias.function, Name=alias.name)["FunctionVersion"] != UNPUBLISHED:
            _mark(session, deployed, update.function)
    command = suggest_command("deploy", session.options.environment)
    message = (
        f"{count_functions(updated)} the code in lambda/; this is drift, which the next {command} takes back before it "
        "deploys"
    )
    return Deployed(outputs, changed=bool(updated), message=message)


def _mark(session: Session, deployed: Snapshot, function: LiveFunction) -> None:
    """Point the alias to ``$LATEST``. Raises ``Overtaken`` if a deployment has begun since ``deployed`` was read."""
    check_unchanged(session.cloudformation, deployed.tree)
    alias = function.alias
    session.target.client("lambda").update_alias(
        FunctionName=alias.function, Name=alias.name, FunctionVersion=UNPUBLISHED
    )


def _check_no_deployment(session: Session, stack: Stack, fate: str) -> None:
    """Raise ``UserError`` if a run has a change set that it may be about to execute; ``fate`` is that of the functions.

    CloudFormation would publish the code with the next version, after the deployment has looked for such code.
    """
    for summary in filter(is_pending, list_change_sets(session.cloudformation, stack.name)):
        name, command = summary["ChangeSetName"], suggest_command("deploy", "code-only", session.options.environment)
        # Of a run that was killed elsewhere, nobody can see that it has ended.
        is_executed = summary["ExecutionStatus"] == "EXECUTE_IN_PROGRESS"
        deletion = "" if is_executed else f"; if no deploy.sh runs: {suggest_deletion(stack.name, name)}"
        raise UserError(
            f"{stack.name} is being planned or deployed (change set {name}); {fate}; when that has ended: {command}"
            f"{deletion}"
        )


def _read_published_digest(client: LambdaClient, function: LiveFunction) -> str:
    """Return the SHA-256, in base64, of the code that was deployed."""
    published = client.get_function_configuration(FunctionName=function.alias.function, Qualifier=function.version)
    return published["CodeSha256"]


def _check_undisturbed(session: Session, before: Stack) -> None:
    """Raise ``UserError`` if a deployment began meanwhile: which code the functions have is not known then."""
    stack = describe_stack(session.cloudformation, before.id)
    if (stack.status, stack.changed_at) != (before.status, before.changed_at):
        raise UserError(
            f"{stack.name} was deployed at the same time (it is {stack.status}), so its functions may have either "
            "code; put it again afterwards, so that the next deployment takes it back: "
            f"{suggest_command('deploy', 'code-only', session.options.environment)}"
        )
