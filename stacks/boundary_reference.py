"""How a template refers to the permissions boundary of its roles; artifacts/permissions_boundary.py creates it."""

from troposphere import Equals, If, Not, Ref, Template

from . import names, references
from .settings import PLATFORM_BOUNDARY
from .wiring import Value


def add_conditions(template: Template, boundary: Value) -> None:
    """Add the conditions that the other functions of this module refer to."""
    template.add_condition("HasBoundary", Not(Equals(boundary, "")))
    template.add_condition("HasOurBoundary", Equals(boundary, PLATFORM_BOUNDARY))


def boundary_arn(boundary: Value, environment: str = "${Environment}") -> If:
    """Return the ARN of the boundary. ``environment`` is a name, or a reference to the parameter that holds it."""
    policy = names.BOUNDARY_POLICY.replace("${Environment}", environment)
    return If("HasOurBoundary", references.arn("iam", f"policy/{policy}", region=False), boundary)


def boundary_property(boundary: Value) -> If:
    """Return the value of a role's ``PermissionsBoundary``, which is no value if the setting is empty."""
    return If("HasBoundary", boundary_arn(boundary), Ref("AWS::NoValue"))
