"""Who may do what: the trust and the policies of each role, and who may invoke the function of the schedule."""

from collections.abc import Iterator, Sequence

from .expected import Expected
from .place import Place
from .results import Check, Failed, run

GROUP = "access"


def checks(place: Place) -> Iterator[Check]:
    yield run(GROUP, "roles", _roles, place)
    yield run(GROUP, "policies of the roles", _policies, place)
    yield run(GROUP, "EventBridge may invoke", _permission, place)


def _roles(place: Place) -> str:
    roles = place.of_type("AWS::IAM::Role")
    _check(place, roles)
    return f"{len(roles)}: trusted services, attached policies, boundary, no inline policies, tags"


def _policies(place: Place) -> str:
    policies = place.of_type("AWS::IAM::ManagedPolicy")
    _check(place, policies)
    statements = sum(len(policy.properties["PolicyDocument"]["Statement"]) for policy in policies)
    return f"{len(policies)} with {statements} statements, all as in the templates"


def _permission(place: Place) -> str:
    permissions = place.of_type("AWS::Lambda::Permission")
    _check(place, permissions)
    return "only the rule of this environment, the live alias of the reconciliation function"


def _check(place: Place, resources: Sequence[Expected]) -> None:
    if problems := [line for resource in resources for line in place.differences(resource)]:
        raise Failed("; ".join(problems))
