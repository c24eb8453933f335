"""The stack that the environments of an account share: its settings, its roles, policies and buckets, and drift."""

from collections.abc import Iterator

from scripts.deployer.deployment_options import ARTIFACTS_STACK
from scripts.deployer.stack import StackTree, describe_stack, describe_tree

from . import expected
from .expected import Expected
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
    tree = describe_tree(cloudformation, stack)
    yield run_check(GROUP, "roles and policies", _check_access, run, tree)
    yield run_check(GROUP, "buckets and their policies", _check_buckets, run, tree)
    yield run_check(GROUP, "drift", check_drift, run, ARTIFACTS_STACK)


def _check_parameters(run: Run, deployed: dict[str, str]) -> str:
    if problems := find_parameter_differences(deployed, run.bootstrap, "[bootstrap] says").values():
        raise Failed("; ".join(problems))
    return f"{len(run.bootstrap)} parameters as in [bootstrap]"


def _check_access(run: Run, tree: StackTree) -> str:
    roles, policies = _select_resources(run, tree, "AWS::IAM::Role", "AWS::IAM::ManagedPolicy")
    run.check_declared([*roles, *policies])
    return f"{len(roles)} roles, {len(policies)} policies as declared"


def _check_buckets(run: Run, tree: StackTree) -> str:
    buckets, policies = _select_resources(run, tree, "AWS::S3::Bucket", "AWS::S3::BucketPolicy")
    run.check_declared([*buckets, *policies])
    return f"{len(buckets)} buckets, {len(policies)} policies as declared"


def _select_resources(run: Run, tree: StackTree, *types: str) -> list[list[Expected]]:
    """Return the resources of each of the types."""
    resources = expected.expected_account_resources(run.bootstrap, run.platform.target, tree).values()
    return [[resource for resource in resources if resource.type == kind] for kind in types]
