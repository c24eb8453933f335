"""Moves resources to other logical ids or stacks of the platform without replacing them.

CloudFormation calls this a stack refactor. It changes the stacks concerned, nested ones too, and no other: the stack
around a nested one keeps its template, whose location of the nested template is then out of date until the next
deployment. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-refactoring.html
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from scripts.common.clients import CloudFormationClient, ResourceLocationTypeDef
from scripts.common.errors import (
    AWS_ERRORS,
    Aborted,
    OutputError,
    StillRunning,
    UserError,
    describe_error,
    is_refusal,
    raise_both,
)
from scripts.common.printable import join_lines
from scripts.common.suggestion import complete_aws_commands, suggest_command
from scripts.common.templates import Template
from scripts.common.waiting import poll_with_backoff

from . import statuses
from .deployment_options import ARTIFACTS_STACK
from .execute import record_deployment
from .freshness import check_fresh_once, check_same_sources
from .moved_templates import move_resources
from .package import Package, package_templates
from .plan.moves import Move, find_replacing_properties, split_path
from .planning import Comparison, compare_trees, parse_package
from .session import Session
from .stack import (
    Snapshot,
    Stack,
    StackTree,
    check_not_lost,
    check_owned,
    check_ready,
    describe_environment,
    describe_stack,
    read_snapshot,
)
from .stack_safeguards import find_with_policy
from .upload import upload_package

_LONGEST_SECONDS = 30 * 60
# https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackRefactor.html
_LONGEST_DESCRIPTION = 1024
_RUNNING = ("EXECUTE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS")


class _Moved(UserError):
    """The resources have moved, and a later step has failed."""

    names_changes = True


def refactor_stacks(session: Session, requested: Sequence[str] = ()) -> list[Move]:
    """Move the ``requested`` resources (``FROM=TO``), or those that a plan finds; return the moves, which may be none.

    Raises ``UserError`` for a move that cannot be made, and ``Aborted`` if the moves are not confirmed.
    """
    options, report, cloudformation = session.options, session.report, session.cloudformation
    digest = check_fresh_once(options.templates)
    stack = describe_environment(cloudformation, options.environment)
    check_owned(stack, adopting_command=suggest_command("deploy", options.environment, "--adopt"))
    check_ready(stack, options.environment)
    if stack.keeps_failed:
        raise UserError(statuses.describe_refusal(stack.name, stack.status, options.environment))
    bucket = describe_stack(cloudformation, ARTIFACTS_STACK).outputs["BucketName"]
    destination = session.target.destination(bucket, options.environment)
    packaged = package_templates(options.templates / "parent.yaml", destination, session.target.runtime)
    check_same_sources(options.templates, digest)
    before = read_snapshot(cloudformation, stack)
    new = (parse_package(packaged), options.parameters)
    check_not_lost(before.tree, new[0], options.environment)
    compared = compare_trees(stack.name, before.source, new, session.target.pseudo_parameters())
    moves = _read_moves(compared, requested, options.environment) if requested else compared.find_moves()
    if not moves or compared.deployed is None:
        return []
    stacks = dict(before.tree.walk())
    templates = move_resources(compared.deployed, moves, {path: stack.outputs for path, stack in stacks.items()})
    if protected := find_with_policy(cloudformation, [stacks[path] for path in templates]):
        raise UserError(
            f"{', '.join(stack.name for stack in protected)}: CloudFormation moves no resource of a stack that has a "
            "stack policy, and a policy cannot be taken away; leave the resources at their logical ids and stacks"
        )
    count = "1 resource" if len(moves) == 1 else f"{len(moves)} resources"
    report.announce_step("Planning", f"to move {count} of {stack.name}")
    refactor = _create_refactor(session, packaged, stacks, templates, moves)
    with _explain_remains(refactor):
        _check_actions(refactor, moves, stacks)
        resources = dict(before.tree.walk_resources())
        for move in moves:
            physical_id = resources[move.source].physical_id
            report.announce_step("Move", f"{move.source} → {move.destination}: {physical_id}")
        if not session.confirm(f"Move {count} of {stack.name}?", ()):
            raise Aborted(f"{stack.name}: declined")
    _execute_refactor(refactor)
    with _explain_moved(options.environment):
        _wait_until_settled(refactor, [stacks[path] for path in templates])
        _finish_refactor(session, before.tree, moves, packaged)
    return moves


def _read_moves(compared: Comparison, requested: Sequence[str], environment: str) -> list[Move]:
    """Return the moves by name. Raises ``UserError`` for one that the next deployment would undo, or replace."""
    before = dict(compared.before.walk()) if compared.before else {}
    after = dict(compared.after.walk())
    moves = []
    for request in requested:
        source, _, destination = request.partition("=")
        if not destination:
            raise UserError(f"--move {request}: give FROM=TO, such as Data/Old=Data/New")
        if source not in before:
            raise UserError(f"--move {request}: {source} is not deployed; see {suggest_command('status', environment)}")
        if destination not in after or after[destination].type != before[source].type:
            raise UserError(
                f"--move {request}: the templates have no {destination} of the type {before[source].type}, so the next "
                "deployment would delete it; write it into the templates first"
            )
        moves.append(Move(source, destination, before[source].type))
    destinations = {move.source: move.destination for move in moves}
    for move in moves:
        request = f"--move {move.source}={move.destination}"
        if move.source == move.destination:
            raise UserError(f"{request}: {move.source} is there already; name another destination")
        if move.source in after and move.source not in destinations.values():
            raise UserError(
                f"{request}: the templates still have {move.source}, so the next deployment would create a second one; "
                "take it out of the templates first"
            )
        replacing = find_replacing_properties(
            before[move.source], after[move.destination], destinations, compared.list_replaced_paths()
        )
        if replacing:
            raise UserError(
                f"{request}: the templates declare another resource as {move.destination}, so the next deployment "
                f"would replace {move.source} because of {', '.join(replacing)}; name the destination that declares it"
            )
    return moves


@dataclass(frozen=True)
class _Refactor:
    """A stack refactor, which can be executed once and cannot be deleted."""

    cloudformation: CloudFormationClient
    id: str

    def read_description(self) -> dict[str, Any]:
        return dict(self.cloudformation.describe_stack_refactor(StackRefactorId=self.id))

    @property
    def follow_command(self) -> str:
        return complete_aws_commands(f"aws cloudformation describe-stack-refactor --stack-refactor-id {self.id}")


def _create_refactor(
    session: Session,
    packaged: Package,
    stacks: dict[str, Stack],
    templates: dict[str, Template],
    moves: Sequence[Move],
) -> _Refactor:
    """Create the refactor, which changes nothing. Raises ``UserError`` if CloudFormation refuses it."""
    bodies = {path: json.dumps(template).encode() for path, template in templates.items()}
    keys = {path: packaged.destination.content_key(body, ".json") for path, body in bodies.items()}
    files = {keys[path]: body for path, body in bodies.items()}
    upload_package(replace(packaged, files=files, layers={}), session.target.client("s3"), session.target.account)
    locations = [(_locate_resource(stacks, move.source), _locate_resource(stacks, move.destination)) for move in moves]
    try:
        refactor_id = session.cloudformation.create_stack_refactor(
            Description="; ".join(map(str, moves))[:_LONGEST_DESCRIPTION],
            StackDefinitions=[
                {"StackName": stacks[path].name, "TemplateURL": packaged.destination.object_url(key)}
                for path, key in keys.items()
            ],
            ResourceMappings=[{"Source": source, "Destination": destination} for source, destination in locations],
        )["StackRefactorId"]
    except (*AWS_ERRORS, KeyboardInterrupt) as error:
        if is_refusal(error):
            raise
        raise_both(error, "nothing was moved; a stack refactor may stay unexecuted, which changes nothing")
    refactor = _Refactor(session.cloudformation, refactor_id)
    with _explain_remains(refactor):
        for _ in poll_with_backoff(_LONGEST_SECONDS):
            description = refactor.read_description()
            if description["Status"] != "CREATE_IN_PROGRESS":
                break
    if (description["Status"], description["ExecutionStatus"]) != ("CREATE_COMPLETE", "AVAILABLE"):
        reason = join_lines(description.get("StatusReason") or description["Status"])
        raise UserError(f"CloudFormation refuses to move: {reason}; nothing was moved")
    return refactor


def _locate_resource(stacks: dict[str, Stack], path: str) -> ResourceLocationTypeDef:
    stack, logical_id = split_path(path)
    return {"StackName": stacks[stack].name, "LogicalResourceId": logical_id}


@contextmanager
def _explain_remains(refactor: _Refactor) -> Iterator[None]:
    """Say what a refactor that is not executed leaves behind: CloudFormation has no request that deletes it."""
    try:
        yield
    except (*AWS_ERRORS, UserError, OutputError, KeyboardInterrupt) as error:
        raise_both(
            error, f"nothing was moved; the stack refactor {refactor.id} stays unexecuted, which changes nothing"
        )


def _check_actions(refactor: _Refactor, moves: Sequence[Move], stacks: dict[str, Stack]) -> None:
    """Raise ``UserError`` unless CloudFormation is going to make these moves and nothing else.

    The stacks of a mapping are ARNs in the answer, names in the request.
    """
    paths = {key: path for path, stack in stacks.items() for key in (stack.id, stack.name)}

    def read_path(location: ResourceLocationTypeDef) -> str:
        return f"{paths.get(location['StackName'], '?')}/{location['LogicalResourceId']}".lstrip("/")

    pages = refactor.cloudformation.get_paginator("list_stack_refactor_actions").paginate(StackRefactorId=refactor.id)
    actions = [action for page in pages for action in page["StackRefactorActions"]]
    mappings = [(action.get("Action"), action.get("ResourceMapping")) for action in actions]
    listed = {
        (kind, read_path(mapping["Source"]), read_path(mapping["Destination"])) if mapping else (kind, "", "")
        for kind, mapping in mappings
    }
    planned = {("MOVE", move.source, move.destination) for move in moves}
    if listed != planned:
        raise UserError(
            complete_aws_commands(
                "CloudFormation would do something else than these moves; see aws cloudformation "
                f"list-stack-refactor-actions --stack-refactor-id {refactor.id}"
            )
        )


def _execute_refactor(refactor: _Refactor) -> None:
    """Execute the refactor and follow it to its end.

    Raises ``UserError`` if it fails, and ``StillRunning`` if it cannot be followed.
    """
    try:
        _start_execution(refactor)
        description = _follow_execution(refactor)
    except (*AWS_ERRORS, KeyboardInterrupt) as error:
        reason = describe_error(error)
        raise StillRunning(f"{reason}; the moves continue; see {refactor.follow_command}") from error
    status = description["ExecutionStatus"]
    if status != "EXECUTE_COMPLETE":
        outcome = "nothing was moved" if status == "ROLLBACK_COMPLETE" else f"see {refactor.follow_command}"
        reason = join_lines(description.get("ExecutionStatusReason") or "CloudFormation gave no reason")
        raise UserError(f"the moves ended {status}: {reason}; {outcome}")


def _start_execution(refactor: _Refactor) -> None:
    """Raise ``UserError`` if the execution did not start; an interrupt after the start is raised as it is."""
    try:
        refactor.cloudformation.execute_stack_refactor(StackRefactorId=refactor.id)
    except (*AWS_ERRORS, KeyboardInterrupt) as error:
        try:
            status = refactor.read_description()["ExecutionStatus"]
        except (*AWS_ERRORS, KeyboardInterrupt) as second:
            if is_refusal(error):
                raise_both(error, "nothing was moved; try again")
            raise StillRunning(
                f"{describe_error(error)}; the moves may have begun, which could not be read: "
                f"{describe_error(second)}; see {refactor.follow_command}"
            ) from error
        if status not in (*_RUNNING, "EXECUTE_COMPLETE"):
            raise_both(error, f"nothing was moved; the stack refactor is {status}; try again")
        if isinstance(error, KeyboardInterrupt):
            raise


def _follow_execution(refactor: _Refactor) -> dict[str, Any]:
    """Return the description of the refactor at its end."""
    for _ in poll_with_backoff(_LONGEST_SECONDS):
        description = refactor.read_description()
        if description["ExecutionStatus"] not in (*_RUNNING, "AVAILABLE"):
            return description
    minutes = _LONGEST_SECONDS // 60
    raise StillRunning(f"the moves have not ended after {minutes} minutes and continue; see {refactor.follow_command}")


@contextmanager
def _explain_moved(environment: str) -> Iterator[None]:
    """Say that the resources have moved, whatever fails afterwards."""
    try:
        yield
    except (*AWS_ERRORS, UserError, KeyboardInterrupt) as error:
        message = f"{describe_error(error)}; the resources have moved; see {suggest_command('status', environment)}"
        is_unwatched = isinstance(error, (KeyboardInterrupt, StillRunning))
        raise (StillRunning if is_unwatched else _Moved)(message) from error


def _wait_until_settled(refactor: _Refactor, stacks: Sequence[Stack]) -> None:
    """Wait until the stacks can be changed again: a refactor is complete some seconds before its stacks are.

    https://github.com/aws/aws-cdk-cli: packages/@aws-cdk/toolkit-lib/lib/api/refactoring/context.ts
    """
    for stack in stacks:
        for _ in poll_with_backoff(_LONGEST_SECONDS):
            described = describe_stack(refactor.cloudformation, stack.id)
            if not described.is_busy:
                break
        else:
            raise StillRunning(f"{stack.name} still is {described.status}")


def _finish_refactor(session: Session, before: StackTree, moves: Sequence[Move], packaged: Package) -> None:
    """Check that the moved resources are the ones that were there, and record what is deployed for offline plans."""
    cloudformation = session.cloudformation
    after: Snapshot = read_snapshot(cloudformation, describe_stack(cloudformation, session.options.stack_name))
    old, new = dict(before.walk_resources()), dict(after.tree.walk_resources())
    for move in moves:
        physical_id = old[move.source].physical_id
        if move.destination not in new or new[move.destination].physical_id != physical_id:
            raise UserError(f"{move.destination} is not {physical_id} after the move")
    record_deployment(session, after, packaged.destination)
