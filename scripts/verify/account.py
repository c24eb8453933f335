"""The stack that the environments of an account share: its settings, its roles and policies, and drift.

Only drift detection covers its buckets, which hold templates and code but no payment data.
"""

from collections.abc import Iterator

from scripts.deployer.deployment_options import ARTIFACTS_STACK
from scripts.deployer.stack import StackTree, describe_stack, describe_tree

from . import expected
from .results import Check, Failed, Status, run_check
from .run import Run
from .stacks import check_drift, find_parameter_differences

GROUP = "account"


def checks(run: Run) -> Iterator[Check]:
    cloudformation = run.client("cloudformation")
    stack = describe_stack(cloudformation, ARTIFACTS_STACK)
    if not stack.exists:
        yield Check(GROUP, ARTIFACTS_STACK, Status.FAILED, f"{ARTIFACTS_STACK} is not deployed in this Region")
        return
    yield run_check(GROUP, "parameters are the settings", _check_parameters, run, stack.parameters)
    yield run_check(GROUP, "roles and policies", _check_access, run, describe_tree(cloudformation, stack))
    yield run_check(GROUP, "drift", check_drift, run, ARTIFACTS_STACK)


def _check_parameters(run: Run, deployed: dict[str, str]) -> str:
    if problems := find_parameter_differences(deployed, run.bootstrap, "[bootstrap] says").values():
        raise Failed("; ".join(problems))
    return f"{len(run.bootstrap)} parameters as in [bootstrap]"


def _check_access(run: Run, tree: StackTree) -> str:
    resources = expected.expected_account_resources(run.bootstrap, run.platform.target, tree).values()
    roles = [resource for resource in resources if resource.type == "AWS::IAM::Role"]
    policies = [resource for resource in resources if resource.type == "AWS::IAM::ManagedPolicy"]
    run.check_declared([*roles, *policies])
    return f"{len(roles)} roles, {len(policies)} policies as declared"
