"""The automatic import of existing resources: which resources of a change set are imported, and which it refuses.

A resource is imported if it exists, has a literal name, and belongs to a type that a template identifies completely. It
must have a deletion policy that retains it, and must not belong to another stack:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html
"""

from functools import cache
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from tests.deployer.aws.holdings import Holdings
from tests.deployer.aws.stacks import Stack

# Quoted on 2026-04-13 in https://github.com/aws/aws-cdk-cli/pull/1367
NOT_RETAINED = (
    "CloudFormation is attempting to import some resources because they already exist in your account. The resources "
    "must have the DeletionPolicy attribute set to 'Retain' or 'RetainExceptOnCreate' in the template for successful "
    "import. The affected resources are {}"
)
# Quoted on 2023-04-26, of an import by identifiers; no quotation of an automatic one is known.
# https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1607
OF_ANOTHER_STACK = "Resources [{}] passed in ResourceToImport are already in a stack and cannot be imported."


class Imports:
    """The part of the service that imports. ``CloudFormation`` contains the state."""

    holdings: Holdings
    stacks: dict[str, Stack]
    # Whether the change set that is being created imports, and its reasons to fail by the stack's logical id.
    _is_importing: bool
    _import_refusals: dict[str, str]

    def offer_import(self, stack: Stack, change: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return the change as an import if the resource to be added exists and can be imported."""
        resource = change["ResourceChange"] if change else {}
        if not self._is_importing or resource.get("Action") != "Add":
            return change
        logical_id, kind = resource["LogicalResourceId"], resource["ResourceType"]
        declared = stack.resources[logical_id]
        identifier = _list_identifiers(kind)
        values = [declared.get("Properties", {}).get(name) for name in identifier]
        name = values[0] if len(values) == 1 and isinstance(values[0], str) else ""
        if not name or not self.holdings.holds(kind, name):
            return change
        if not str(declared.get("DeletionPolicy")).startswith("Retain"):
            refusal = NOT_RETAINED.format(f"{logical_id} ({{{identifier[0]}={name}}})")
            self._import_refusals.setdefault(stack.logical_id, refusal)
        if self._is_held_elsewhere(self.holdings.resources[kind, name].stack_id):
            self._import_refusals.setdefault(stack.logical_id, OF_ANOTHER_STACK.format(logical_id))
        imported = {**resource, "Action": "Import", "PhysicalResourceId": name}
        return {"Type": "Resource", "ResourceChange": imported}

    def _is_held_elsewhere(self, stack_id: str) -> bool:
        holders = [member for root in self.stacks.values() for _, member in root.walk() if member.id == stack_id]
        return any(holder.is_there for holder in holders)


@cache
def _list_identifiers(kind: str) -> list[str]:
    """Return the primary identifier's properties, or none if the service makes up one of them."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-west-1", kind).schema
    pointers = schema.get("primaryIdentifier", [])
    is_settable = not set(pointers) & set(schema.get("readOnlyProperties", []))
    return [pointer.rpartition("/")[2] for pointer in pointers] if is_settable else []
