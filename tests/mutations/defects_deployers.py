"""What an account has once: the buckets, who deploys, and what stands above every role."""

from tests.emitted import load_template

from .planting import (
    Defect,
    Plant,
    Planted,
    added,
    both,
    change,
    drop,
    may_also,
    may_not,
    put,
    statement,
    unconditioned,
    without,
)

ARTIFACTS = "artifacts"
_ACCESS, _DEPLOYERS = "tests/stacks/test_access.py::", "tests/stacks/test_access_deployers.py::"
_SERVICE_ROLE = "tests/stacks/test_service_role.py::"
_D = "tests/stacks/test_deployed.py::"
CLOSED = f"{_D}test_the_buckets_are_closed_versioned_and_encrypted"
WITHIN = f"{_DEPLOYERS}test_what_a_role_may_do_lies_within_the_boundary"
STAYS = f"{_D}test_the_boundary_and_the_role_above_outlive_their_stack"
ANY_ROLE = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"}
ANY_POLICY = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/policy-*"}


def _holding(sid: str) -> str:
    """The policy of CloudFormation's role that has this statement: they are filled in order."""
    policies = {
        title: resource["Properties"]["PolicyDocument"]["Statement"]
        for title, resource in load_template(ARTIFACTS)["Resources"].items()
        if title.startswith("Service") and resource["Type"] == "AWS::IAM::ManagedPolicy"
    }
    (holder,) = [title for title, statements in policies.items() if sid in [each["Sid"] for each in statements]]
    return holder


def _open(sid: str, *names: str) -> Plant:
    """The ARNs of a statement end in a pattern again, in the place of each environment."""
    return both(
        *(change(f"{_holding(sid)}.Properties.PolicyDocument.Statement", name + "-prod", name + "-*") for name in names)
    )


def _never(sentence: str, module: str = _DEPLOYERS) -> str:
    return f"{module}test_it_is_never_so_that[{sentence}]"


def _capped(action: str) -> str:
    return f"{_DEPLOYERS}test_a_role_with_all_rights_cannot_pass_the_boundary[{action}]"


def _github(what: str) -> str:
    return f"{_DEPLOYERS}test_github_acts_from_one_repository_and_deploys_from_one_environment[{what}]"


def _operation(operation: str) -> str:
    return f"{_SERVICE_ROLE}test_it_may_do_every_operation_on_every_resource[prod-{operation}]"


def _of_others() -> str:
    return f"{_SERVICE_ROLE}test_it_touches_nothing_of_other_teams[prod]"


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
     unconditioned(_holding("RolesOfProdStandUnderTheBoundary"), "RolesOfProdStandUnderTheBoundary"),
     _never("CloudFormation makes a role without a boundary")),
    ("roles of any name are made", ARTIFACTS,
     statement(_holding("RolesOfProdStandUnderTheBoundary"), "RolesOfProdStandUnderTheBoundary", Resource=[ANY_ROLE]),
     _never("CloudFormation makes a role of another name")),
    ("a boundary is taken away", ARTIFACTS,
     may_also(_holding("Roles"), "Roles", "iam:DeleteRolePermissionsBoundary"),
     _never("CloudFormation takes a boundary away")),
    ("any policy is attached", ARTIFACTS,
     unconditioned(_holding("RolesOfProdGetOurPoliciesOnly"), "RolesOfProdGetOurPoliciesOnly", "iam:PolicyARN"),
     _never("CloudFormation attaches AdministratorAccess")),
    ("policies are attached where there is no boundary", ARTIFACTS,
     unconditioned(
         _holding("RolesOfProdGetOurPoliciesOnly"), "RolesOfProdGetOurPoliciesOnly", "iam:PermissionsBoundary"),
     _never("CloudFormation attaches a policy of ours where there is no boundary")),
    ("policies are written into roles", ARTIFACTS,
     may_also(_holding("Roles"), "Roles", "iam:PutRolePolicy"),
     _never("CloudFormation writes a policy into a role")),
    ("roles are passed to any service", ARTIFACTS,
     unconditioned(_holding("PassRolesToLambda"), "PassRolesToLambda"),
     _never("CloudFormation gives our role to another service")),
    ("any role is passed", ARTIFACTS,
     statement(_holding("PassRolesToLambda"), "PassRolesToLambda", Resource=[ANY_ROLE]),
     _never("CloudFormation gives a function a role of somebody else's")),
    ("the boundary's policy is changed", ARTIFACTS,
     statement(_holding("Policies"), "Policies", Resource=[ANY_POLICY]),
     _never("CloudFormation changes the boundary: CreatePolicyVersion")),
    ("any key is administered", ARTIFACTS,
     unconditioned(_holding("KeysOfEarlierDeployments"), "KeysOfEarlierDeployments"),
     _never("CloudFormation changes a key of somebody else's")),
    ("keys cannot be made, for their tags", ARTIFACTS,
     without(_holding("NewKeysAreTaggedAsOurs"), "NewKeysAreTaggedAsOurs"),
     f"{_DEPLOYERS}test_it_is_so_that[CloudFormation tags the key that it makes]"),
    ("somebody else's key is tagged as ours", ARTIFACTS,
     unconditioned(_holding("NewKeysAreTaggedAsOurs"), "NewKeysAreTaggedAsOurs", "kms:ResourceAliases"),
     _never("CloudFormation takes a key of somebody else's for ours")),
    ("keys are made that are nobody's", ARTIFACTS,
     unconditioned(_holding("NewKeysCannotBeNamed"), "NewKeysCannotBeNamed"),
     _never("CloudFormation makes a key that is nobody's")),
    ("who deploys may pay", ARTIFACTS, may_also(_holding("StateMachine"), "StateMachine", "states:StartExecution"),
     _never("CloudFormation pays")),
    ("who deploys may read payments", ARTIFACTS, may_also(_holding("Tables"), "Tables", "dynamodb:GetItem"),
     _never("CloudFormation reads a payment")),
    ("CloudFormation's role trusts any account", ARTIFACTS,
     unconditioned("CloudFormationRole", "OnlyTheServiceForThisAccount"),
     f"{_ACCESS}test_a_role_is_assumed_by_its_service_for_this_account_only[CloudFormationRole]"),
    ("CloudFormation's role is deleted before its stacks", ARTIFACTS,
     put("CloudFormationRole.DeletionPolicy", "Delete"), STAYS),
    ("the boundary is deleted before its roles", ARTIFACTS, drop("BoundaryProd.DeletionPolicy"), STAYS),
    ("a failed bootstrap leaves the boundary's name taken", ARTIFACTS,
     put("BoundaryProd.DeletionPolicy", "Retain"), STAYS),
]  # fmt: skip

# What AWS would refuse, and what would be more than it asks.
_FIRST_DEPLOYMENT: Planted = [
    ("nested stacks cannot have the role", ARTIFACTS,
     without(_holding("PassItselfToNestedStacks"), "PassItselfToNestedStacks"), _operation("create")),
    ("the role may be handed to any service", ARTIFACTS,
     unconditioned(_holding("PassItselfToNestedStacks"), "PassItselfToNestedStacks"),
     f"{_SERVICE_ROLE}test_it_passes_itself_to_nested_stacks_and_to_nothing_else"),
    ("functions cannot be read after they are made", ARTIFACTS,
     may_not(_holding("Functions"), "Functions", "lambda:GetFunctionScalingConfig"), _operation("read")),
    ("the tags of functions cannot be read", ARTIFACTS,
     may_not(_holding("Functions"), "Functions", "lambda:ListTags"), _operation("read")),
    ("the tags of roles cannot be read", ARTIFACTS, may_not(_holding("Roles"), "Roles", "iam:ListRoleTags"),
     _operation("read")),
    ("what exists cannot be listed", ARTIFACTS,
     without(_holding("ListsHaveNoResource"), "ListsHaveNoResource"), _operation("list")),
    ("a new key waits for its tag", "security", without("QueueKey", "CloudFormationAdministersKey"),
     _operation("create")),
    ("a new table's key is not open to who makes the table", "security",
     without("DynamodbKey", "CloudFormationMakesTables"), _operation("create")),
    ("the functions' key is not open to who makes the functions", "security",
     without("FunctionsKey", "CloudFormationMakesFunctions"), _operation("create")),
    ("a new backup plan waits for its tag", ARTIFACTS,
     statement(_holding("NewBackupPlans"), "NewBackupPlans",
               Condition={"StringEquals": {"aws:ResourceTag/ManagedBy": "payment-platform"}}), _operation("create")),
    ("a backup plan of another team is deleted", ARTIFACTS,
     unconditioned(_holding("OurBackupPlans"), "OurBackupPlans"),
     f"{_SERVICE_ROLE}test_a_backup_plan_of_another_team_is_not_changed"),
    ("roles of other teams are changed", ARTIFACTS, _open("Roles", "role-lambda-processing"), _of_others()),
    ("a role of prod stands under dev's boundary", ARTIFACTS,
     change(f"{_holding('RolesOfProdStandUnderTheBoundary')}.Properties.PolicyDocument.Statement",
            "boundary-prod", "boundary-dev"),
     f"{_DEPLOYERS}test_it_is_so_that[CloudFormation makes a role under the boundary]"),
    ("roles of other teams are passed", ARTIFACTS, _open("PassRolesToLambda", "role-lambda-processing"), _of_others()),
    ("policies of other teams are changed", ARTIFACTS, _open("Policies", "policy-lambda-processing"), _of_others()),
    ("tables of other teams are deleted", ARTIFACTS, _open("Tables", "dynamodb-transactions"), _of_others()),
    ("log groups of other teams are deleted", ARTIFACTS,
     _open("LogGroups", "lambda-payment-processing"), _of_others()),
    ("stacks of other environments are deleted", ARTIFACTS, _open("NestedStacks", "payment-platform"), _of_others()),
    ("the schedule invokes whatever it is told to", ARTIFACTS,
     unconditioned(_holding("ScheduleInvokesReconciliationOnly"), "ScheduleInvokesReconciliationOnly"),
     f"{_SERVICE_ROLE}test_the_schedule_invokes_reconciliation_and_nothing_else[images]"),
    ("who deploys uses the tables' key by itself", "security",
     unconditioned("DynamodbKey", "CloudFormationMakesTables", "kms:ViaService"),
     f"{_SERVICE_ROLE}test_it_uses_a_key_by_way_of_its_service_only[DynamodbKey]"),
    ("who deploys reads other functions' variables", "security",
     unconditioned("FunctionsKey", "CloudFormationMakesFunctions", "kms:EncryptionContext:aws:lambda:FunctionArn"),
     f"{_SERVICE_ROLE}test_it_uses_a_key_by_way_of_its_service_only[FunctionsKey]"),
    ("the workflow's key is decided by another stack's output", "workflow",
     put("/Conditions.HasWorkflowKey", {"Fn::Not": [{"Fn::Equals": [{"Ref": "WorkflowKeyArn"}, ""]}]}),
     "tests/stacks/test_wiring.py::test_no_condition_reads_what_another_stack_puts_out"),
]  # fmt: skip

_BOUNDARY: Planted = [
    ("the boundary allows IAM", ARTIFACTS, added("BoundaryProd", Action=["iam:*"]), _capped("iam:CreateUser")),
    ("the boundary allows all", ARTIFACTS, added("BoundaryProd", Action=["*"]), _capped("ec2:RunInstances")),
    ("the boundary allows to delete keys", ARTIFACTS,
     may_also("BoundaryProd", "KeysAreFound", "kms:ScheduleKeyDeletion"), _capped("kms:ScheduleKeyDeletion")),
    ("the boundary allows to delete tables", ARTIFACTS, may_also("BoundaryProd", "Tables", "dynamodb:DeleteTable"),
     _capped("dynamodb:DeleteTable")),
    ("the boundary allows to read artifacts", ARTIFACTS, added("BoundaryProd", Action=["s3:GetObject"]),
     _capped("s3:GetObject")),
    ("the boundary forbids what reconciliation needs", ARTIFACTS,
     statement("BoundaryProd", "Tables", Action=["dynamodb:GetItem", "dynamodb:PutItem"]), WITHIN),
    ("the boundary forbids the dead letters", ARTIFACTS, without("BoundaryProd", "DeadLetters"), WITHIN),
    ("the boundary forbids the keys", ARTIFACTS,
     statement("BoundaryProd", "KeysThroughServices", Action=["kms:Decrypt"]), WITHIN),
    ("the boundary of prod allows dev's table", ARTIFACTS,
     change("BoundaryProd.Properties.PolicyDocument.Statement", "transactions-prod", "transactions-*"),
     _capped("dynamodb:PutItem")),
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
    ("a new owner of the repository's old name may deploy", ARTIFACTS,
     statement("GitHubDeployRole", "OnlyThisRepository", Condition={
         "StringEquals": {f"{_TOKENS}:aud": "sts.amazonaws.com"},
         "StringLike": {f"{_TOKENS}:sub": "repo:us@*/payments@*:environment:prod"}}), _github("deploy")),
    ("a plan cannot read what CloudFormation validated", ARTIFACTS,
     without("GitHubPlanPolicy", "ReadValidationsOfChangeSets"),
     f"{_DEPLOYERS}test_it_is_so_that[a plan reads the validations of a change set]"),
    ("a pull request writes the objects of a release", ARTIFACTS,
     statement("GitHubPlanPolicy", "UploadPlans", Resource=[{"Fn::Sub": "${Artifacts.Arn}/*"}]),
     _never("a plan writes what a deployment will ask for")),
    ("a plan passes any role", ARTIFACTS, statement("GitHubPlanPolicy", "CloudFormationActs", Resource=["*"]),
     _never("a plan gives CloudFormation another role")),
]  # fmt: skip

DEFECTS = [Defect(*one) for one in (*_BUCKETS, *_SERVICE, *_FIRST_DEPLOYMENT, *_BOUNDARY, *_GITHUB)]
