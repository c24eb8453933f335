"""The functions behind an alias, whether `deploy.sh code-only` has changed them, and how that is taken back.

A stack keeps each alias at a version that it has published. ``code-only`` first points the alias to ``$LATEST``, the
only version whose code can be changed, and then changes that code. So an alias at ``$LATEST`` is the mark of changed
code, wherever the command ended, and it is moved back last. The version always has the code of the last deployment.

An alias may point to ``$LATEST`` unless it has weights or provisioned concurrency, which the templates give to none:
https://docs.aws.amazon.com/lambda/latest/api/API_UpdateAlias.html (the pattern of ``FunctionVersion``)
https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from scripts.common.clients import LambdaClient
from scripts.common.errors import StillRunning, UserError, describe_error, is_denied
from scripts.common.printable import join_lines
from scripts.common.suggestion import suggest_command
from scripts.common.templates import Tree
from scripts.common.threads import map_in_threads
from scripts.common.waiting import poll_with_backoff
from scripts.common.wording import join_names

from .change_set import NOT_EXECUTED, Overtaken, check_unchanged
from .session import Session
from .stack import RELEASED, Snapshot, StackTree

UNPUBLISHED = "$LATEST"
FUNCTION, VERSION, ALIAS = "AWS::Lambda::Function", "AWS::Lambda::Version", "AWS::Lambda::Alias"
LONGEST_UPDATE_SECONDS = 120
# The beginning of the notice that code will be taken back.
CHANGED_CODE = "deploy.sh code-only has changed"
_MOST_NAMES = 5
_OTHER_REVISION = "PreconditionFailedException"


class CodeOvertaken(Overtaken):
    """Somebody else has changed a function; the stack and its change sets are as they were."""


@dataclass(frozen=True)
class Alias:
    # Of the resource in the tree, such as Compute/ProcessingLive.
    path: str
    function: str
    name: str
    # Of the version that was read; another one after each change.
    revision_id: str = field(default="", compare=False)


@dataclass(frozen=True)
class LiveFunction:
    alias: Alias
    # Of the function in the tree, such as Compute/ProcessingFunction.
    path: str
    # The version to which the stack points the alias.
    version: str
    # Where the deployed template has the code: the properties S3Bucket and S3Key.
    code: Mapping[str, str]


def find_changed_aliases(client: LambdaClient, tree: StackTree) -> list[Alias]:
    """Return the aliases at ``$LATEST``, in the order of the tree. Raises ``ClientError``, such as a denial."""

    def read_alias(alias: Alias) -> tuple[Alias, str]:
        try:
            described = client.get_alias(FunctionName=alias.function, Name=alias.name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return alias, ""  # deleted by hand
            raise
        return replace(alias, revision_id=described.get("RevisionId", "")), described["FunctionVersion"]

    aliases = map_in_threads(read_alias, _list_aliases(tree))
    return [alias for alias, version in aliases if version == UNPUBLISHED]


def _list_aliases(tree: StackTree) -> Iterator[Alias]:
    """Yield the aliases of the tree; the physical id of one that exists is its ARN: ``...:function:FUNCTION:ALIAS``."""
    for path, resource in tree.walk_resources():
        if resource.type == ALIAS and ":function:" in resource.physical_id and resource.status not in RELEASED:
            *_, function, name = resource.physical_id.split(":")
            yield Alias(path, function, name)


def find_live_functions(deployed: Snapshot) -> list[LiveFunction]:
    """Return the functions with an alias at a version of the same template; those that the others need come first.

    An alias with ``DependsOn`` comes after the other ones.
    """
    aliases = {alias.path: alias for alias in _list_aliases(deployed.tree)}
    ids = {path: resource.physical_id for path, resource in deployed.tree.walk_resources()}
    first, second = list[LiveFunction](), list[LiveFunction]()
    for above, resources in _walk_templates(deployed.template_tree) if deployed.template_tree else ():
        for logical_id in resources:
            alias = aliases.get(f"{above}{logical_id}")
            properties = resources[logical_id].get("Properties", {})
            function = _read_logical_id(properties.get("FunctionName"), "Ref")
            version = _read_logical_id(properties.get("FunctionVersion"), "Fn::GetAtt")
            if alias is None or function not in resources or version not in resources:
                continue
            # The physical id of a version is its ARN: ``...:function:FUNCTION:NUMBER``.
            number = ids.get(f"{above}{version}", "").rpartition(":")[2]
            code = resources[function]["Properties"]["Code"]
            group = second if resources[logical_id].get("DependsOn") else first
            group.append(LiveFunction(alias, f"{above}{function}", number, code))
    return [*first, *second]


def _walk_templates(tree: Tree, above: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the resources of each template, with the beginning of their paths from the root."""
    yield above, tree.resources()
    for logical_id, nested in tree.nested.items():
        yield from _walk_templates(nested, f"{above}{logical_id}/")


def _read_logical_id(expression: Any, function: str) -> str:
    """Return the logical id that a ``Ref`` or ``Fn::GetAtt`` names; empty for another expression."""
    value = expression.get(function) if isinstance(expression, dict) else None
    if isinstance(value, list):
        value = value[0]
    return value.split(".")[0] if isinstance(value, str) else ""


def look_for_changed_code(session: Session, tree: StackTree) -> tuple[list[Alias], str]:
    """Return the aliases of the functions that ``code-only`` has changed, and a notice for the plan; none if empty.

    A plan may be made without the right to know it. Raises ``ClientError`` for that denial if a deployment follows,
    because CloudFormation might publish that code as a version.
    """
    options = session.options
    if not options.rollout.code_only or not tree.stack.exists:
        return [], ""
    try:
        aliases = find_changed_aliases(session.target.client("lambda"), tree)
    except ClientError as error:
        if not options.only_plan or not is_denied(error):
            raise
        return [], f"whether deploy.sh code-only has changed functions could not be read: {describe_error(error)}"
    if not aliases:
        return [], ""
    names = join_names([alias.function for alias in aliases], _MOST_NAMES)
    return aliases, (
        f"{CHANGED_CODE} {names} (the alias {aliases[0].name} is at {UNPUBLISHED}); a deployment first takes that back"
    )


def take_code_back(session: Session, deployed: Snapshot) -> list[str]:
    """Give the functions that ``code-only`` has changed their deployed code and version; return their names.

    CloudFormation compares templates with templates: it would leave the code of a function whose template does not
    change, and would publish it with the next version. So this comes before a change set is executed.
    Raises ``Overtaken`` if something else is deployed now.
    """
    if not session.options.rollout.code_only or not deployed.tree.stack.exists:
        return []
    client = session.target.client("lambda")
    revisions = {alias: alias.revision_id for alias in find_changed_aliases(client, deployed.tree)}
    # Those that the others need come last, as in a rollback.
    functions = [function for function in reversed(find_live_functions(deployed)) if function.alias in revisions]
    for function in functions:
        name, alias = function.alias.function, function.alias.name
        published = client.get_function_configuration(FunctionName=name, Qualifier=function.version)
        put_code(session, name, published["CodeSha256"], deployed, is_restored=True, **function.code)
        # Where the code was the deployed one already, nothing has asked yet.
        check_unchanged(session.cloudformation, deployed.tree)
        _point_alias(client, function, revisions[function.alias])
        # code-only, which does not move an alias that is marked already, may have put its code meanwhile.
        put_code(session, name, published["CodeSha256"], deployed, is_restored=True, **function.code)
        session.report.announce_step("Restored", f"{name}: {alias} is version {function.version} again")
    return [function.alias.function for function in functions]


def _point_alias(client: LambdaClient, function: LiveFunction, revision_id: str) -> None:
    """Point the alias to its deployed version. Raises ``Overtaken`` if it was moved since its revision was read.

    https://docs.aws.amazon.com/lambda/latest/api/API_UpdateAlias.html
    """
    name, alias = function.alias.function, function.alias.name
    revision: dict[str, Any] = {"RevisionId": revision_id} if revision_id else {}
    try:
        client.update_alias(FunctionName=name, Name=alias, FunctionVersion=function.version, **revision)
    except ClientError as error:
        if error.response["Error"]["Code"] != _OTHER_REVISION:
            raise
        # It may be this request that has moved it, and the answer was lost.
        if client.get_alias(FunctionName=name, Name=alias)["FunctionVersion"] != function.version:
            raise CodeOvertaken(f"the alias {alias} of {name} was moved after it was read; {NOT_EXECUTED}") from error


def put_code(
    session: Session, name: str, sha256: str, deployed: Snapshot, *, is_restored: bool = False, **code: Any
) -> bool:
    """Give the function the ``code``, whose SHA-256 is in base64, and wait until it is in force.

    ``code`` is a parameter of UpdateFunctionCode: ``ZipFile``, or ``S3Bucket`` and ``S3Key``; ``is_restored`` is
    whether a deployment puts the deployed code back, before its change set is executed. Returns False if the
    function had that code already. Raises ``UserError`` if Lambda cannot update the function, ``Overtaken`` if a
    deployment has begun since ``deployed`` was read, and ``StillRunning`` if it takes longer than
    ``LONGEST_UPDATE_SECONDS``.
    https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
    """
    client = session.target.client("lambda")
    is_requested = has_other_revision = False
    for _ in poll_with_backoff(LONGEST_UPDATE_SECONDS):
        configuration = client.get_function_configuration(FunctionName=name)
        status = configuration.get("LastUpdateStatus", "Successful")
        if status == "InProgress" or configuration.get("State") == "Pending":
            continue
        if configuration["CodeSha256"] == sha256 and status == "Successful":
            return is_requested
        if has_other_revision:
            raise CodeOvertaken(f"the code of {name} was changed after it was read; {NOT_EXECUTED}")
        if is_requested and status == "Failed":
            reason = join_lines(configuration.get("LastUpdateStatusReason", "Lambda gives no reason"))
            kind = "deployed" if is_restored else "new"
            raise UserError(f"{name} cannot run the {kind} code: {reason}; {_advise_next_step(session, is_restored)}")
        # A deployment that begins after this check changes the revision, or replaces this code.
        check_unchanged(session.cloudformation, deployed.tree)
        if "RevisionId" in configuration:
            code["RevisionId"] = configuration["RevisionId"]
        is_requested = True
        try:
            client.update_function_code(FunctionName=name, **code)
        except ClientError as error:
            # Another update is in progress, or complete, perhaps this one: the answer to it may have been lost.
            has_other_revision = error.response["Error"]["Code"] == _OTHER_REVISION
            if not has_other_revision and error.response["Error"]["Code"] != "ResourceConflictException":
                raise
    raise StillRunning(
        f"the update of {name} continues after {LONGEST_UPDATE_SECONDS} seconds; "
        f"{_advise_next_step(session, is_restored)}"
    )


def _advise_next_step(session: Session, is_restored: bool) -> str:
    command = suggest_command("deploy", session.options.environment)
    if is_restored:
        return f"the change set of {session.options.stack_name} was not executed; deploy again afterwards: {command}"
    return f"to go back to the deployed code: {command}"


def count_functions(names: Sequence[str]) -> str:
    """Return the number of functions, as the beginning of "have ..." or "has ..."."""
    return "1 function has" if len(names) == 1 else f"{len(names)} functions have"
