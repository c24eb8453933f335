"""Stack refactors: resources that get other logical ids or stacks, and stay what they are.

The rules and the states are documented:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-refactoring.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackRefactor.html
Users report the rest. Every change of a resource is an "action type that is not permitted", and an execution may refuse
a type that the creation has accepted: seen on 2026-09-17, docs/verification/645-p3-nested-stack.md in
https://github.com/aws-samples/sample-autonomous-cloud-coding-agents. Stacks are complete some seconds after their
refactor: packages/@aws-cdk/toolkit-lib/lib/api/refactoring/context.ts in https://github.com/aws/aws-cdk-cli.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.deployer.aws import templates
from tests.deployer.aws.holdings import NAMES, Holdings, Refused, has_system_tags
from tests.deployer.aws.stacks import Stack, make_page

MOST_STACKS = 5
# Some types that are not fully mutable. https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeType.html
NOT_MUTABLE = (
    "AWS::Lambda::Permission",
    "AWS::Backup::BackupSelection",
    "AWS::SQS::QueuePolicy",
    "AWS::SNS::TopicPolicy",
)
NOT_PERMITTED = "Found an action type that is not permitted during refactor operations"
FIXED_SECTIONS = ("Parameters", "Conditions", "Mappings", "Transform")

# A stack's id and a logical id.
Place = tuple[str, str]


@dataclass
class StackRefactor:
    id: str
    # The stacks as they are, and as they are proposed.
    before: list[Stack]
    after: list[Stack]
    # Destination by source.
    moves: dict[Place, Place]
    # The text of each stack when the refactor was created.
    texts: dict[str, str] = field(default_factory=dict)
    status: str = "CREATE_IN_PROGRESS"
    reason: str = ""
    execution: str = "UNAVAILABLE"
    execution_reason: str = ""
    # The polls until it is created, and until its execution ends.
    looks: int = 0


class StackRefactors:
    """The part of the service that refactors stacks. ``CloudFormation`` contains the state that tests set."""

    slow: dict[str, int]
    immovable: dict[str, str]
    additional_actions: list[dict[str, Any]]
    refactors: dict[str, StackRefactor]
    settling: list[str]
    holdings: Holdings

    def create_stack_refactor(
        self,
        StackDefinitions: list[dict[str, str]],
        ResourceMappings: list[dict[str, dict[str, str]]] | None = None,
        Description: str = "",  # noqa: ARG002 - nothing reads it
    ) -> dict[str, Any]:
        if len(StackDefinitions) > MOST_STACKS:
            raise Refused("ValidationError", f"A stack refactor can have at most {MOST_STACKS} stacks")
        before = [self.find_stack(definition["StackName"]) for definition in StackDefinitions]
        texts = [self.read_object(definition["TemplateURL"]) for definition in StackDefinitions]
        after = [replace(stack, text=text) for stack, text in zip(before, texts, strict=True)]
        moves = {
            self._read_place(mapping["Source"]): self._read_place(mapping["Destination"])
            for mapping in ResourceMappings or []
        }
        refactor_id = f"refactor-{len(self.refactors) + 1}"
        refactor = StackRefactor(refactor_id, before, after, moves, {stack.id: stack.text for stack in before})
        refactor.looks = self.slow.get("refactor", 0)
        refactor.reason = next(self._find_refusals(refactor), "")
        self.refactors[refactor_id] = refactor
        return {"StackRefactorId": refactor_id}

    def describe_stack_refactor(self, StackRefactorId: str) -> dict[str, Any]:
        """Each poll brings the refactor to its next state."""
        refactor = self._find_refactor(StackRefactorId)
        description = {
            "StackRefactorId": refactor.id,
            "StackIds": [stack.id for stack in refactor.before],
            "Status": refactor.status,
            "StatusReason": refactor.reason if refactor.status == "CREATE_FAILED" else "",
            "ExecutionStatus": refactor.execution,
            "ExecutionStatusReason": refactor.execution_reason,
        }
        self._advance_refactor(refactor)
        return description

    def list_stack_refactor_actions(self, StackRefactorId: str, NextToken: str = "0") -> dict[str, Any]:
        refactor = self._find_refactor(StackRefactorId)
        actions = [
            {
                "Action": "MOVE",
                "Entity": "RESOURCE",
                "PhysicalResourceId": source[1],
                "Description": "No configuration changes detected.",
                "Detection": "MANUAL",
                "ResourceMapping": {
                    end: {"StackName": stack, "LogicalResourceId": logical_id}
                    for end, (stack, logical_id) in (("Source", source), ("Destination", destination))
                },
            }
            for source, destination in refactor.moves.items()
        ]
        return make_page("StackRefactorActions", [*actions, *self.additional_actions], NextToken)

    def execute_stack_refactor(self, StackRefactorId: str) -> None:
        refactor = self._find_refactor(StackRefactorId)
        if any(stack.text != refactor.texts[stack.id] for stack in refactor.before):
            refactor.execution = "OBSOLETE"
        if refactor.execution != "AVAILABLE":
            raise Refused("ValidationError", f"Stack refactor {refactor.id} is {refactor.execution}")
        refactor.execution, refactor.looks = "EXECUTE_IN_PROGRESS", self.slow.get("refactor", 1)
        for stack in refactor.before:
            stack.status = "UPDATE_IN_PROGRESS"

    def settle_stack(self, stack: Stack) -> None:
        """Complete a refactored stack, after it has been described as it was, once or as often as a test sets."""
        if stack.id in self.settling:
            self.settling.remove(stack.id)
            if stack.id not in self.settling:
                stack.status = "UPDATE_COMPLETE"

    def _find_refactor(self, refactor_id: str) -> StackRefactor:
        if refactor_id not in self.refactors:
            raise Refused("StackRefactorNotFoundException", f"Stack refactor {refactor_id} does not exist", 404)
        return self.refactors[refactor_id]

    def _read_place(self, location: dict[str, str]) -> Place:
        return self.find_stack(location["StackName"]).id, location["LogicalResourceId"]

    def _advance_refactor(self, refactor: StackRefactor) -> None:
        if refactor.looks > 0:
            refactor.looks -= 1
        elif refactor.status == "CREATE_IN_PROGRESS":
            refactor.status = "CREATE_FAILED" if refactor.reason else "CREATE_COMPLETE"
            refactor.execution = "UNAVAILABLE" if refactor.reason else "AVAILABLE"
        elif refactor.execution == "EXECUTE_IN_PROGRESS":
            self._end_execution(refactor)

    def _end_execution(self, refactor: StackRefactor) -> None:
        types = [self._find_resource(refactor.before, source)["Type"] for source in refactor.moves]
        refactor.execution_reason = next((self.immovable[kind] for kind in types if kind in self.immovable), "")
        self.settling += [stack.id for stack in refactor.before] * self.slow.get("settling", 1)
        if refactor.execution_reason:
            refactor.execution = "ROLLBACK_COMPLETE"
            return
        refactor.execution = "EXECUTE_COMPLETE"
        for stack, proposed in zip(refactor.before, refactor.after, strict=True):
            stack.text = proposed.text
        for destination in refactor.moves.values():
            self._tag_resource(*destination)

    def _tag_resource(self, stack_id: str, logical_id: str) -> None:
        """Write the tags that CloudFormation itself gives to a resource."""
        stack = self.find_stack(stack_id)
        kind = stack.resources[logical_id]["Type"]
        if kind not in NAMES:
            return
        assert stack.resources[logical_id]["Properties"].get(NAMES[kind]), "a generated name would not be kept here"
        resource = self.holdings.resources[kind, self.name_resource(stack, logical_id)]
        resource.stack_id = stack.id
        if has_system_tags(kind):
            system = {"stack-name": stack.name, "stack-id": stack.id, "logical-id": logical_id}
            resource.tags |= {f"aws:cloudformation:{key}": value for key, value in system.items()}

    def _find_refusals(self, refactor: StackRefactor) -> Iterator[str]:
        """Yield what the creation of the refactor fails with; CloudFormation reports it with the next description."""
        for stack, proposed in zip(refactor.before, refactor.after, strict=True):
            if stack.policy:
                yield f"{stack.id}: Stack Refactor does not support stacks with stack policies."
            if stack.status.endswith("_IN_PROGRESS"):
                yield f"{stack.id}: Stack is in {stack.status}."
            for section in FIXED_SECTIONS:
                if stack.template.get(section) != proposed.template.get(section):
                    yield f"{stack.id}: {section} cannot be changed by a stack refactor."
            if not proposed.resources:
                yield f"{stack.id}: A stack needs at least one resource."
        yield from self._find_changes(refactor)

    def _find_changes(self, refactor: StackRefactor) -> Iterator[str]:
        generated = {
            stack: {new: old for (_, old), (s, new) in refactor.moves.items() if s == stack} for stack in refactor.texts
        }
        old = _list_configurations(refactor.before, {})
        new = _list_configurations(refactor.after, generated)
        for place in refactor.moves:
            kind = old.get(place, {}).get("Type", "a resource that does not exist")
            if kind in NOT_MUTABLE or place not in old:
                yield f"{place[0]}: Stack Refactor does not support {kind}."
        moved = {refactor.moves.get(place, place): resource for place, resource in old.items()}
        if set(moved) != set(new):
            yield f"{NOT_PERMITTED}: {sorted(set(moved) ^ set(new))}"
            return
        changed = [place[1] for place, resource in moved.items() if resource != new[place]]
        pairs = zip(refactor.before, refactor.after, strict=True)
        # The stack around it would pass on another value.
        changed += [stack.logical_id for stack, proposed in pairs if stack.root and stack.outputs != proposed.outputs]
        yield from (f"{NOT_PERMITTED}: Modify {logical_id}" for logical_id in changed)

    @staticmethod
    def _find_resource(stacks: list[Stack], place: Place) -> dict[str, Any]:
        resource: dict[str, Any] = next(stack for stack in stacks if stack.id == place[0]).resources[place[1]]
        return resource


def _list_configurations(stacks: list[Stack], generated: dict[str, dict[str, str]]) -> dict[Place, dict[str, Any]]:
    """Return the declarations without the order of creation, which is no configuration of an existing resource."""
    return {
        (stack.id, name): {key: value for key, value in resource.items() if key != "DependsOn"}
        for stack in stacks
        for name, resource in templates.evaluate_resources(stack, generated.get(stack.id, {})).items()
    }
