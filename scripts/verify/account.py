"""The stack that the environments of an account share: its settings, its roles and policies, and drift.

Its buckets are left to drift detection: they hold templates and code, and no payment data.
"""

from collections.abc import Iterator

from scripts.deployer.order import ARTIFACTS_STACK
from scripts.deployer.stack import StackTree, describe
from scripts.deployer.status import read_status

from . import expected
from .place import Place
from .results import Check, Failed, run

GROUP = "account"


def checks(place: Place) -> Iterator[Check]:
    stack = describe(place.client("cloudformation"), ARTIFACTS_STACK)
    if not stack.exists:
        yield run(GROUP, ARTIFACTS_STACK, _missing)
        return
    yield run(GROUP, "parameters are the settings", _parameters, place, stack.parameters)
    yield run(GROUP, "roles and policies", _access, place, StackTree(stack))
    yield run(GROUP, "drift", _drift, place)


def _missing() -> str:
    raise Failed(f"{ARTIFACTS_STACK} is not deployed in this Region")


def _parameters(place: Place, deployed: dict[str, str]) -> str:
    problems = [
        f"{name} is {deployed.get(name, 'not set')!r}, [bootstrap] says {value!r}"
        for name, value in place.bootstrap.items()
        if deployed.get(name) != value
    ]
    if problems:
        raise Failed("; ".join(problems))
    return f"{len(place.bootstrap)} parameters as in [bootstrap]"


def _access(place: Place, tree: StackTree) -> str:
    resources = expected.account_resources(place.bootstrap, place.platform.target, tree)
    roles, policies = (
        [resource for resource in resources.values() if resource.type == kind]
        for kind in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")
    )
    if problems := [line for resource in [*roles, *policies] for line in place.differences(resource)]:
        raise Failed("; ".join(problems))
    return f"{len(roles)} roles, {len(policies)} policies as declared"


def _drift(place: Place) -> str:
    detected = read_status(ARTIFACTS_STACK, place.platform.target, detect_drift=True)
    if detected.drifts:
        raise Failed("; ".join(f"{drift.path} is {drift.status.lower()}" for drift in detected.drifts))
    return "none"
