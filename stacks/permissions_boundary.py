"""How a template with roles refers to their permissions boundary, which artifacts/boundary.py creates."""

from troposphere import Equals, If, Not, Ref, Template

from . import names
from .settings import PLATFORM_BOUNDARY
from .wiring import Value


def add_conditions(template: Template, boundary: Value) -> None:
    """What ``of`` needs of a template that has roles."""
    template.add_condition("HasBoundary", Not(Equals(boundary, "")))
    template.add_condition("HasOurBoundary", Equals(boundary, PLATFORM_BOUNDARY))


def boundary_arn(boundary: Value, environment: str = "${Environment}") -> If:
    """The boundary's ARN, where there is one. ``environment`` is a name, or the reference that a template has to it."""
    policy = names.BOUNDARY_POLICY.replace("${Environment}", environment)
    return If("HasOurBoundary", names.arn("iam", f"policy/{policy}", region=False), boundary)


def boundary_property(boundary: Value) -> If:
    """A role's ``PermissionsBoundary``."""
    return If("HasBoundary", boundary_arn(boundary), Ref("AWS::NoValue"))
