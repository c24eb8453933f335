"""What an account has once: the buckets, who deploys, and what stands above every role."""

from .planting import Defect, Planted, added, drop, may_also, put, statement, unconditioned, without

ARTIFACTS = "artifacts"
_ACCESS, _DEPLOYERS = "tests/stacks/test_access.py::", "tests/stacks/test_access_deployers.py::"
_D = "tests/stacks/test_deployed.py::"
CLOSED = f"{_D}test_the_buckets_are_closed_versioned_and_encrypted"
WITHIN = f"{_DEPLOYERS}test_what_a_role_may_do_lies_within_the_boundary"
STAYS = f"{_D}test_the_boundary_and_the_role_above_outlive_their_stack"
ANY_ROLE = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"}
ANY_POLICY = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/policy-*"}


def _never(sentence: str, module: str = _DEPLOYERS) -> str:
    return f"{module}test_it_is_never_so_that[{sentence}]"


def _capped(action: str) -> str:
    return f"{_DEPLOYERS}test_a_role_with_all_rights_cannot_pass_the_boundary[{action}]"


def _github(what: str) -> str:
    return f"{_DEPLOYERS}test_github_acts_from_one_repository_and_deploys_from_one_environment[{what}]"


_TOKENS = "token.actions.githubusercontent.com"

_BUCKETS: Planted = [
    ("what was overwritten is lost", ARTIFACTS, put("Artifacts.Properties.VersioningConfiguration.Status", "Suspended"),
     CLOSED),
    ("the bucket may be opened to the public", ARTIFACTS,
     put("Artifacts.Properties.PublicAccessBlockConfiguration.BlockPublicPolicy", False), CLOSED),
    ("the bucket takes access control lists", ARTIFACTS,
     put("Artifacts.Properties.OwnershipControls.Rules.0.ObjectOwnership", "ObjectWriter"), CLOSED),
    ("the access logs' bucket may be public", ARTIFACTS,
     drop("AccessLogs.Properties.PublicAccessBlockConfiguration.RestrictPublicBuckets"), CLOSED),
    ("the bucket is not under a key", ARTIFACTS,
     put("Artifacts.Properties.BucketEncryption.ServerSideEncryptionConfiguration.0."
         "ServerSideEncryptionByDefault.SSEAlgorithm", "AES256"), CLOSED),
    ("nobody knows who read the artifacts", ARTIFACTS,
     put("Artifacts.Properties.LoggingConfiguration.DestinationBucketName", {"Ref": "Artifacts"}), CLOSED),
    ("the bucket is deleted with its stack", ARTIFACTS, put("Artifacts.DeletionPolicy", "Delete"),
     f"{_D}test_what_would_be_lost_outlives_its_stack"),
    ("an artifact may be overwritten", ARTIFACTS, without("ArtifactsPolicy", "NobodyOverwrites"),
     _never("an administrator overwrites an artifact", _ACCESS)),
    ("an artifact is read without TLS", ARTIFACTS, without("ArtifactsPolicy", "OnlyOverTLS"),
     _never("an administrator reads an artifact without TLS", _ACCESS)),
    ("another account reads the artifacts", ARTIFACTS,
     added("ArtifactsPolicy", Principal={"AWS": "999988887777"}, Action=["s3:GetObject"]),
     _never("another account reads an artifact", _ACCESS)),
    ("any account's bucket writes our access logs", ARTIFACTS,
     unconditioned("AccessLogsPolicy", "S3WritesLogsOfTheArtifacts", "aws:SourceAccount"),
     _never("another account's bucket writes our access logs", _ACCESS)),
    ("any bucket writes our access logs", ARTIFACTS,
     unconditioned("AccessLogsPolicy", "S3WritesLogsOfTheArtifacts", "aws:SourceArn"),
     _never("another bucket writes our access logs", _ACCESS)),
]  # fmt: skip

_SERVICE: Planted = [
    ("roles are made without the boundary", ARTIFACTS,
     unconditioned("ServiceComputePolicy", "RolesStandUnderTheBoundary"),
     _never("CloudFormation makes a role without a boundary")),
    ("roles of any name are made", ARTIFACTS,
     statement("ServiceComputePolicy", "RolesStandUnderTheBoundary", Resource=[ANY_ROLE]),
     _never("CloudFormation makes a role of another name")),
    ("a boundary is taken away", ARTIFACTS,
     may_also("ServiceComputePolicy", "Roles", "iam:DeleteRolePermissionsBoundary"),
     _never("CloudFormation takes a boundary away")),
    ("any policy is attached", ARTIFACTS,
     unconditioned("ServiceComputePolicy", "RolesGetOurPoliciesOnly", "iam:PolicyARN"),
     _never("CloudFormation attaches AdministratorAccess")),
    ("policies are attached where there is no boundary", ARTIFACTS,
     unconditioned("ServiceComputePolicy", "RolesGetOurPoliciesOnly", "iam:PermissionsBoundary"),
     _never("CloudFormation attaches a policy of ours where there is no boundary")),
    ("policies are written into roles", ARTIFACTS,
     may_also("ServiceComputePolicy", "Roles", "iam:PutRolePolicy"),
     _never("CloudFormation writes a policy into a role")),
    ("roles are passed to any service", ARTIFACTS,
     unconditioned("ServiceComputePolicy", "RolesAreForThreeServices"),
     _never("CloudFormation gives our role to another service")),
    ("any role is passed", ARTIFACTS,
     statement("ServiceComputePolicy", "RolesAreForThreeServices", Resource=[ANY_ROLE]),
     _never("CloudFormation gives a function a role of somebody else's")),
    ("the boundary's policy is changed", ARTIFACTS,
     statement("ServiceComputePolicy", "Policies", Resource=[ANY_POLICY]),
     _never("CloudFormation changes the boundary: CreatePolicyVersion")),
    ("any key is administered", ARTIFACTS, unconditioned("ServiceDataPolicy", "Keys"),
     _never("CloudFormation changes a key of somebody else's")),
    ("keys cannot be made, for their tags", ARTIFACTS, without("ServiceDataPolicy", "NewKeysAreTaggedAsOurs"),
     f"{_DEPLOYERS}test_it_is_so_that[CloudFormation tags the key that it makes]"),
    ("somebody else's key is tagged as ours", ARTIFACTS,
     unconditioned("ServiceDataPolicy", "NewKeysAreTaggedAsOurs", "kms:ResourceAliases"),
     _never("CloudFormation takes a key of somebody else's for ours")),
    ("keys are made that are nobody's", ARTIFACTS, unconditioned("ServiceDataPolicy", "NewKeysCannotBeNamed"),
     _never("CloudFormation makes a key that is nobody's")),
    ("who deploys uses the tables' key by itself", ARTIFACTS,
     unconditioned("ServiceDataPolicy", "TableKeyThroughDynamoDB"),
     "tests/stacks/test_policies.py::test_every_use_of_a_key_is_under_a_condition"),
    ("who deploys may pay", ARTIFACTS, may_also("ServiceRestPolicy", "StateMachine", "states:StartExecution"),
     _never("CloudFormation pays")),
    ("who deploys may read payments", ARTIFACTS, may_also("ServiceDataPolicy", "Tables", "dynamodb:GetItem"),
     _never("CloudFormation reads a payment")),
    ("CloudFormation's role trusts any account", ARTIFACTS,
     unconditioned("CloudFormationRole", "OnlyTheServiceForThisAccount"),
     f"{_ACCESS}test_a_role_is_assumed_by_its_service_for_this_account_only[CloudFormationRole]"),
    ("CloudFormation's role is deleted before its stacks", ARTIFACTS,
     put("CloudFormationRole.DeletionPolicy", "Delete"), STAYS),
    ("the boundary is deleted before its roles", ARTIFACTS, drop("Boundary.DeletionPolicy"), STAYS),
]  # fmt: skip

_BOUNDARY: Planted = [
    ("the boundary allows IAM", ARTIFACTS, added("Boundary", Action=["iam:*"]), _capped("iam:CreateUser")),
    ("the boundary allows all", ARTIFACTS, added("Boundary", Action=["*"]), _capped("ec2:RunInstances")),
    ("the boundary allows to delete keys", ARTIFACTS,
     may_also("Boundary", "KeysAreFound", "kms:ScheduleKeyDeletion"), _capped("kms:ScheduleKeyDeletion")),
    ("the boundary allows to delete tables", ARTIFACTS, may_also("Boundary", "Tables", "dynamodb:DeleteTable"),
     _capped("dynamodb:DeleteTable")),
    ("the boundary allows to read artifacts", ARTIFACTS, added("Boundary", Action=["s3:GetObject"]),
     _capped("s3:GetObject")),
    ("the boundary forbids what reconciliation needs", ARTIFACTS,
     statement("Boundary", "Tables", Action=["dynamodb:GetItem", "dynamodb:PutItem"]), WITHIN),
    ("the boundary forbids the dead letters", ARTIFACTS, without("Boundary", "DeadLetters"), WITHIN),
    ("the boundary forbids the keys", ARTIFACTS, statement("Boundary", "KeysThroughServices", Action=["kms:Decrypt"]),
     WITHIN),
]  # fmt: skip

_GITHUB: Planted = [
    ("any repository may plan", ARTIFACTS,
     unconditioned("GitHubPlanRole", "OnlyThisRepository", f"{_TOKENS}:sub"), _github("plan")),
    ("any repository may deploy", ARTIFACTS,
     statement("GitHubDeployRole", "OnlyThisRepository", Condition={
         "StringEquals": {f"{_TOKENS}:aud": "sts.amazonaws.com"}, "StringLike": {f"{_TOKENS}:sub": "repo:*"}}),
     _github("deploy")),
    ("any branch may deploy", ARTIFACTS,
     statement("GitHubDeployRole", "OnlyThisRepository", Condition={
         "StringEquals": {f"{_TOKENS}:aud": "sts.amazonaws.com"},
         "StringLike": {f"{_TOKENS}:sub": {"Fn::Sub": "repo:${GithubRepository}:*"}}}), _github("deploy")),
    ("a token for another audience may deploy", ARTIFACTS,
     unconditioned("GitHubDeployRole", "OnlyThisRepository", f"{_TOKENS}:aud"), _github("deploy")),
    ("a pull request may deploy", ARTIFACTS,
     may_also("GitHubPlanPolicy", "Plan", "cloudformation:ExecuteChangeSet"), _never("a plan executes a change set")),
    ("a deployment touches every stack", ARTIFACTS, statement("GitHubDeployPolicy", "Deploy", Resource=["*"]),
     _never("a deployment touches another stack")),
    ("a plan passes any role", ARTIFACTS, statement("GitHubPlanPolicy", "CloudFormationActs", Resource=["*"]),
     _never("a plan gives CloudFormation another role")),
]  # fmt: skip

DEFECTS = [Defect(*one) for one in (*_BUCKETS, *_SERVICE, *_BOUNDARY, *_GITHUB)]
