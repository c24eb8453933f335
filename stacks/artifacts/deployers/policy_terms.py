"""Helpers for the deployers' policies: ARNs in every environment, and policies within the quotas of IAM."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from awacs.aws import Statement
from troposphere import AWSHelperFn, Template, encode_to_dict
from troposphere.iam import ManagedPolicy

from ... import names, references
from ...policies import policy_document
from ...settings import SettingsError
from ...suppressions import flatten_for_nag, suppress_wildcards
from ...wiring import RETAINED

# The longest managed policy that IAM accepts, in characters without white space.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
LONGEST_POLICY = 6144
# The partitions with the longest names, each with its longest Region: an ARN without a Region is longest in the first.
# botocore lists all of them in data/partitions.json.
_LONGEST_PLACES = (("aws-us-gov", "us-gov-east-1"), ("aws-iso-f", "us-isof-south-1"))
_ACCOUNT_ID = "123456789012"

# The wildcard ARNs that a deployer's policy may contain, as cdk-nag writes them, by the reason. Any other is a finding.
_NAME = "[a-z0-9-]+"
ACCEPTED_WILDCARDS = {
    "These actions have no resource": re.compile(r"\*"),
    "Lambda numbers the versions of a function or layer": re.compile(rf".*:(function|layer):{_NAME}:\*"),
    "CloudWatch Logs asks about the streams of a log group": re.compile(r".*:log-group:/aws/[a-z0-9/-]+:\*"),
    "The deployment groups of an application": re.compile(rf".*:deploymentgroup:codedeploy-payments-{_NAME}/\*"),
    "AWS names its own configurations": re.compile(r".*:deploymentconfig:CodeDeployDefault\.Lambda\*"),
    "An artifact is named by what it holds": re.compile(r"<Artifacts\.Arn>/payment-(platform|plans)/\*"),
    "CloudFormation names nested stacks and their change sets, and ends ARNs with an id": re.compile(
        rf".*:(stack/payment-(platform-{_NAME}[/-]|artifacts/)|changeSet/)\*"
    ),
    "A key is named by an id; the statement has a condition": re.compile(r".*:key/\*"),
    "A backup plan is named by an id": re.compile(r".*:backup-plan:\*"),
}


@dataclass(frozen=True)
class Environments:
    """The environments that are deployed to AWS, by name.

    Every ARN names its environment. A pattern such as ``role-lambda-processing-*`` would match the roles of other
    teams, too.
    """

    names: tuple[str, ...]
    # Those of them whose settings ask for neither termination protection nor a stack policy.
    unprotected: tuple[str, ...] = ()
    # Those of these whose functions may get new code without a deployment.
    code_only: tuple[str, ...] = ()
    # Those whose settings name a traffic_shift, so that CodeDeploy may act in them.
    shifting: tuple[str, ...] = ()

    def narrow(self, environment: str) -> "Environments":
        """Return the one environment alone, for statements on its roles and policies."""
        return Environments((environment,), shifting=tuple({environment} & set(self.shifting)))

    def arns(self, service: str, *resources: str, is_regional: bool = True) -> list[AWSHelperFn]:
        """Return the ARN of each resource, written as in ``names.py``, in each environment."""
        return [
            references.arn(service, resource.replace("${Environment}", environment), region=is_regional)
            for environment in self.names
            for resource in resources
        ]

    def role_arns(self, *roles: str) -> list[AWSHelperFn]:
        return self.arns("iam", *(f"role/{role}" for role in roles), is_regional=False)

    def all_role_arns(self) -> list[AWSHelperFn]:
        """Return every role of the platform in each environment."""
        return [
            *self.role_arns(*names.ROLES),
            *Environments(self.shifting).role_arns(names.TRAFFIC_SHIFT_ROLE),
        ]

    def all_policy_arns(self) -> list[AWSHelperFn]:
        """Return every managed policy of the platform's roles in each environment."""
        shift = f"policy/{names.TRAFFIC_SHIFT_POLICY}"
        return [
            *self.arns("iam", *(f"policy/{name}" for name in names.POLICIES), is_regional=False),
            *Environments(self.shifting).arns("iam", shift, is_regional=False),
        ]

    def stack_arns(self) -> list[AWSHelperFn]:
        """Return the ARN patterns of each parent stack and its nested stacks, which CloudFormation names after it."""
        return self.arns(
            "cloudformation", "stack/payment-platform-${Environment}/*", "stack/payment-platform-${Environment}-*"
        )


def add_policy(template: Template, title: str, condition: str, statements: Sequence[Statement]) -> ManagedPolicy:
    """Add a managed policy that is named after its title, and return it."""
    managed_policy: ManagedPolicy = template.add_resource(
        ManagedPolicy(
            f"{title}Policy",
            ManagedPolicyName=f"policy-payment-{hyphenate(title)}",
            PolicyDocument=policy_document(*statements),
            Condition=condition,
            **RETAINED,
        )
    )
    resources = dict.fromkeys(map(flatten_for_nag, _list_resources(statements)))
    for reason, pattern in ACCEPTED_WILDCARDS.items():
        if accepted := [name for name in resources if pattern.fullmatch(name)]:
            suppress_wildcards(managed_policy, reason, *accepted)
    return managed_policy


def _list_resources(statements: Sequence[Statement]) -> Iterator[str | AWSHelperFn]:
    for statement in statements:
        yield from statement.properties["Resource"]


def add_policies(
    template: Template, title: str, condition: str, statements: Sequence[Statement]
) -> list[ManagedPolicy]:
    """Add as many managed policies as the statements need, and return them. ``{}`` in ``title`` is their number from 1.

    Each statement goes into the first policy that has room for it. Raises ``SettingsError`` for a statement that names
    more environments than fit into a policy.
    """
    parts: list[list[Statement]] = []
    lengths: list[int] = []
    empty = policy_length([])
    for statement in statements:
        length = policy_length([statement])
        if length > LONGEST_POLICY:
            raise SettingsError(
                f"stacks/environments.toml: the statement {statement.properties['Sid']} takes {length} "
                f"characters for all environments, and a policy has {LONGEST_POLICY}; give some an account of their own"
            )
        # What the statement adds to a policy, with the comma before it.
        added = length - empty + 1
        number = next((number for number, used in enumerate(lengths) if used + added <= LONGEST_POLICY), len(parts))
        if number == len(parts):
            parts.append([])
            lengths.append(empty - 1)
        parts[number].append(statement)
        lengths[number] += added
    return [add_policy(template, title.format(number), condition, part) for number, part in enumerate(parts, start=1)]


def policy_length(statements: Sequence[Statement]) -> int:
    """Return the most characters that a policy of these statements may have after CloudFormation's substitutions."""
    text = json.dumps(_fill_in_parameters(encode_to_dict(policy_document(*statements))), separators=(",", ":"))
    return max(
        len(text.replace("${AWS::Partition}", partition).replace("${AWS::Region}", region))
        for partition, region in _LONGEST_PLACES
    )


def _fill_in_parameters(value: object) -> object:
    """Return a part of a policy as the text of each ``Fn::Sub``, with all parameters filled in but those of a place."""
    if isinstance(value, dict):
        if set(value) == {"Fn::Sub"}:
            text = str(value["Fn::Sub"])
            bucket = "arn:${AWS::Partition}:s3:::payment-artifacts-${AWS::AccountId}-${AWS::Region}"
            return text.replace("${Artifacts.Arn}", bucket).replace("${AWS::AccountId}", _ACCOUNT_ID)
        return {key: _fill_in_parameters(item) for key, item in value.items()}
    return [_fill_in_parameters(item) for item in value] if isinstance(value, list) else value


def hyphenate(title: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "-", title.replace("GitHub", "Github")).lower()
