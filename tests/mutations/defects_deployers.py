"""Defects of the account's own stack: the buckets, the deployers' roles, and the boundary."""

from tests.emitted import load_template

from .planting import (
    Plant,
    Planted,
    add_actions,
    add_statement,
    apply_all,
    drop_actions,
    drop_conditions,
    drop_statement,
    drop_value,
    edit_statement,
    make_defects,
    replace_text,
    set_value,
)

ARTIFACTS = "artifacts"
_ACCESS, _DEPLOYERS = "tests/stacks/test_access.py::", "tests/stacks/test_access_deployers.py::"
_SERVICE_ROLE = "tests/stacks/test_service_role.py::"
_D = "tests/stacks/test_deployed.py::"
CLOSED = f"{_D}test_the_buckets_are_closed_versioned_and_encrypted"
WITHIN = f"{_DEPLOYERS}test_the_policies_of_a_role_allow_nothing_beyond_the_boundary"
STAYS = f"{_D}test_the_boundaries_and_the_service_role_outlive_their_stack"
OTHER_TEAMS = f"{_SERVICE_ROLE}test_the_role_cannot_touch_resources_of_other_teams[prod]"
ANY_ROLE = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"}
ANY_POLICY = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:policy/policy-*"}


def _find_policy(sid: str) -> str:
    """Return the policy of CloudFormation's role that has this statement; the statements are spread over several."""
    policies = {
        title: resource["Properties"]["PolicyDocument"]["Statement"]
        for title, resource in load_template(ARTIFACTS)["Resources"].items()
        if title.startswith("Service") and resource["Type"] == "AWS::IAM::ManagedPolicy"
    }
    (title,) = [
        title for title, statements in policies.items() if sid in [statement["Sid"] for statement in statements]
    ]
    return title


def _statement(sid: str) -> tuple[str, str]:
    """Return the arguments that name a statement of CloudFormation's role."""
    return _find_policy(sid), sid


def _widen_statement(sid: str, *names: str) -> Plant:
    """End the ARNs of a statement in a pattern instead of the environments' names."""
    statements = f"{_find_policy(sid)}.PolicyDocument.Statement"
    return apply_all(*(replace_text(statements, f"{name}-prod", f"{name}-*") for name in names))


def _denial_test(sentence: str, module: str = _DEPLOYERS) -> str:
    return f"{module}test_the_policies_deny_that[{sentence}]"


def _boundary_test(action: str) -> str:
    return f"{_DEPLOYERS}test_a_role_with_all_rights_is_limited_by_the_boundary[{action}]"


def _github_test(condition: str) -> str:
    return f"{_DEPLOYERS}test_only_one_repository_plans_and_only_one_of_its_environments_deploys[{condition}]"


def _operation_test(operation: str) -> str:
    return f"{_SERVICE_ROLE}test_the_role_may_do_every_operation_on_every_resource[prod-{operation}]"


_TOKENS = "token.actions.githubusercontent.com"

_BUCKETS: Planted = [
    ("what was overwritten is lost", set_value("Artifacts.VersioningConfiguration.Status", "Suspended"), CLOSED),
    ("the bucket may be opened to the public",
     set_value("Artifacts.PublicAccessBlockConfiguration.BlockPublicPolicy", False), CLOSED),
    ("the bucket takes access control lists",
     set_value("Artifacts.OwnershipControls.Rules.0.ObjectOwnership", "ObjectWriter"), CLOSED),
    ("the access logs' bucket may be public",
     drop_value("AccessLogs.PublicAccessBlockConfiguration.RestrictPublicBuckets"), CLOSED),
    ("the bucket is not under a key",
     set_value("Artifacts.BucketEncryption.ServerSideEncryptionConfiguration.0."
         "ServerSideEncryptionByDefault.SSEAlgorithm", "AES256"), CLOSED),
    ("nobody knows who read the artifacts",
     set_value("Artifacts.LoggingConfiguration.DestinationBucketName", {"Ref": "Artifacts"}), CLOSED),
    ("the bucket is deleted with its stack", set_value("Artifacts.DeletionPolicy", "Delete"),
     f"{_D}test_resources_with_data_outlive_their_stack"),
    ("an artifact may be overwritten", drop_statement("ArtifactsPolicy", "NobodyOverwrites"),
     _denial_test("an administrator overwrites an artifact", _ACCESS)),
    ("an artifact is read without TLS", drop_statement("ArtifactsPolicy", "OnlyOverTLS"),
     _denial_test("an administrator reads an artifact without TLS", _ACCESS)),
    ("another account reads the artifacts",
     add_statement("ArtifactsPolicy", Principal={"AWS": "999988887777"}, Action=["s3:GetObject"]),
     _denial_test("another account reads an artifact", _ACCESS)),
    ("any account's bucket writes our access logs",
     drop_conditions("AccessLogsPolicy", "S3WritesLogsOfTheArtifacts", "aws:SourceAccount"),
     _denial_test("another account's bucket writes our access logs", _ACCESS)),
    ("any bucket writes our access logs",
     drop_conditions("AccessLogsPolicy", "S3WritesLogsOfTheArtifacts", "aws:SourceArn"),
     _denial_test("another bucket writes our access logs", _ACCESS)),
]  # fmt: skip

_SERVICE: Planted = [
    ("roles are made without the boundary", drop_conditions(*_statement("RolesOfProdStandUnderTheBoundary")),
     _denial_test("CloudFormation makes a role without a boundary")),
    ("roles of any name are made", edit_statement(*_statement("RolesOfProdStandUnderTheBoundary"), Resource=[ANY_ROLE]),
     _denial_test("CloudFormation makes a role of another name")),
    ("a boundary is taken away", add_actions(*_statement("Roles"), "iam:DeleteRolePermissionsBoundary"),
     _denial_test("CloudFormation takes a boundary away")),
    ("any policy is attached", drop_conditions(*_statement("RolesOfProdGetOurPoliciesOnly"), "iam:PolicyARN"),
     _denial_test("CloudFormation attaches AdministratorAccess")),
    ("policies are attached where there is no boundary",
     drop_conditions(*_statement("RolesOfProdGetOurPoliciesOnly"), "iam:PermissionsBoundary"),
     _denial_test("CloudFormation attaches a policy of ours where there is no boundary")),
    ("policies are written into roles", add_actions(*_statement("Roles"), "iam:PutRolePolicy"),
     _denial_test("CloudFormation writes a policy into a role")),
    ("roles are passed to any service", drop_conditions(*_statement("PassRolesToLambda")),
     _denial_test("CloudFormation gives our role to another service")),
    ("any role is passed", edit_statement(*_statement("PassRolesToLambda"), Resource=[ANY_ROLE]),
     _denial_test("CloudFormation gives a function a role of somebody else's")),
    ("the boundary's policy is changed", edit_statement(*_statement("Policies"), Resource=[ANY_POLICY]),
     _denial_test("CloudFormation changes the boundary: CreatePolicyVersion")),
    ("any key is administered", drop_conditions(*_statement("KeysOfEarlierDeployments")),
     _denial_test("CloudFormation changes a key of somebody else's")),
    ("keys cannot be made, for their tags", drop_statement(*_statement("NewKeysAreTaggedAsOurs")),
     f"{_DEPLOYERS}test_the_policies_allow_that[CloudFormation tags the key that it makes]"),
    ("somebody else's key is tagged as ours",
     drop_conditions(*_statement("NewKeysAreTaggedAsOurs"), "kms:ResourceAliases"),
     _denial_test("CloudFormation takes a key of somebody else's for ours")),
    ("keys are made that are nobody's", drop_conditions(*_statement("NewKeysCannotBeNamed")),
     _denial_test("CloudFormation makes a key that is nobody's")),
    ("who deploys may pay", add_actions(*_statement("StateMachine"), "states:StartExecution"),
     _denial_test("CloudFormation pays")),
    ("who deploys may read payments", add_actions(*_statement("Tables"), "dynamodb:GetItem"),
     _denial_test("CloudFormation reads a payment")),
    ("CloudFormation's role trusts any account", drop_conditions("CloudFormationRole", "OnlyTheServiceForThisAccount"),
     f"{_ACCESS}test_a_role_is_assumed_by_its_service_for_this_account_only[CloudFormationRole]"),
    ("CloudFormation's role is deleted before its stacks", set_value("CloudFormationRole.DeletionPolicy", "Delete"),
     STAYS),
    ("the boundary is deleted before its roles", drop_value("BoundaryProd.DeletionPolicy"), STAYS),
    ("a failed bootstrap leaves the boundary's name taken", set_value("BoundaryProd.DeletionPolicy", "Retain"), STAYS),
]  # fmt: skip

# What AWS would refuse, and what would be more than it asks.
_FIRST_DEPLOYMENT: Planted = [
    ("nested stacks cannot have the role", drop_statement(*_statement("PassItselfToNestedStacks")),
     _operation_test("create")),
    ("the role may be handed to any service", drop_conditions(*_statement("PassItselfToNestedStacks")),
     f"{_SERVICE_ROLE}test_the_role_passes_itself_only_to_nested_stacks"),
    ("functions cannot be read after they are made",
     drop_actions(*_statement("Functions"), "lambda:GetFunctionScalingConfig"), _operation_test("read")),
    ("the tags of functions cannot be read", drop_actions(*_statement("Functions"), "lambda:ListTags"),
     _operation_test("read")),
    ("the tags of roles cannot be read", drop_actions(*_statement("Roles"), "iam:ListRoleTags"),
     _operation_test("read")),
    ("what exists cannot be listed", drop_statement(*_statement("ListsHaveNoResource")), _operation_test("list")),
    ("a new backup plan waits for its tag",
     edit_statement(*_statement("NewBackupPlans"),
                    Condition={"StringEquals": {"aws:ResourceTag/ManagedBy": "payment-platform"}}),
     _operation_test("create")),
    ("a backup plan of another team is deleted", drop_conditions(*_statement("OurBackupPlans")),
     f"{_SERVICE_ROLE}test_a_backup_plan_of_another_team_is_not_changed"),
    ("roles of other teams are changed", _widen_statement("Roles", "role-lambda-processing"), OTHER_TEAMS),
    ("a role of prod stands under dev's boundary",
     replace_text(f"{_find_policy('RolesOfProdStandUnderTheBoundary')}.PolicyDocument.Statement", "boundary-prod",
                  "boundary-dev"),
     f"{_DEPLOYERS}test_the_policies_allow_that[CloudFormation makes a role under the boundary]"),
    ("roles of other teams are passed", _widen_statement("PassRolesToLambda", "role-lambda-processing"), OTHER_TEAMS),
    ("policies of other teams are changed", _widen_statement("Policies", "policy-lambda-processing"), OTHER_TEAMS),
    ("tables of other teams are deleted", _widen_statement("Tables", "dynamodb-transactions"), OTHER_TEAMS),
    ("log groups of other teams are deleted", _widen_statement("LogGroups", "lambda-payment-processing"), OTHER_TEAMS),
    ("stacks of other environments are deleted", _widen_statement("NestedStacks", "payment-platform"), OTHER_TEAMS),
    ("the schedule invokes whatever it is told to", drop_conditions(*_statement("ScheduleInvokesReconciliationOnly")),
     f"{_SERVICE_ROLE}test_the_schedule_invokes_reconciliation_and_nothing_else[images]"),
]  # fmt: skip

_BOUNDARY: Planted = [
    ("the boundary allows IAM", add_statement("BoundaryProd", Action=["iam:*"]), _boundary_test("iam:CreateUser")),
    ("the boundary allows all", add_statement("BoundaryProd", Action=["*"]), _boundary_test("ec2:RunInstances")),
    ("the boundary allows to delete keys", add_actions("BoundaryProd", "KeysAreFound", "kms:ScheduleKeyDeletion"),
     _boundary_test("kms:ScheduleKeyDeletion")),
    ("the boundary allows to delete tables", add_actions("BoundaryProd", "Tables", "dynamodb:DeleteTable"),
     _boundary_test("dynamodb:DeleteTable")),
    ("the boundary allows to read artifacts", add_statement("BoundaryProd", Action=["s3:GetObject"]),
     _boundary_test("s3:GetObject")),
    ("the boundary forbids what reconciliation needs",
     edit_statement("BoundaryProd", "Tables", Action=["dynamodb:GetItem", "dynamodb:PutItem"]), WITHIN),
    ("the boundary forbids the dead letters", drop_statement("BoundaryProd", "DeadLetters"), WITHIN),
    ("the boundary forbids the keys", edit_statement("BoundaryProd", "KeysThroughServices", Action=["kms:Decrypt"]),
     WITHIN),
    ("the boundary of prod allows dev's table",
     replace_text("BoundaryProd.PolicyDocument.Statement", "transactions-prod", "transactions-*"),
     _boundary_test("dynamodb:PutItem")),
]  # fmt: skip

_GITHUB: Planted = [
    ("any repository may plan", drop_conditions("GitHubPlanRole", "OnlyThisRepository", f"{_TOKENS}:sub"),
     _github_test("plan")),
    ("any repository may deploy",
     edit_statement("GitHubDeployRole", "OnlyThisRepository",
                    Condition={"StringEquals": {f"{_TOKENS}:aud": "sts.amazonaws.com"},
                               "StringLike": {f"{_TOKENS}:sub": "repo:*"}}), _github_test("deploy")),
    ("any branch may deploy",
     edit_statement("GitHubDeployRole", "OnlyThisRepository", Condition={
         "StringEquals": {f"{_TOKENS}:aud": "sts.amazonaws.com"},
         "StringLike": {f"{_TOKENS}:sub": {"Fn::Sub": "repo:${GithubRepository}:*"}}}), _github_test("deploy")),
    ("a token for another audience may deploy",
     drop_conditions("GitHubDeployRole", "OnlyThisRepository", f"{_TOKENS}:aud"), _github_test("deploy")),
    ("a pull request may deploy", add_actions("GitHubPlanPolicy", "Plan", "cloudformation:ExecuteChangeSet"),
     _denial_test("a plan executes a change set")),
    ("a deployment touches every stack", edit_statement("GitHubDeployPolicy", "Deploy", Resource=["*"]),
     _denial_test("a deployment touches another stack")),
    ("a new owner of the repository's old name may deploy",
     edit_statement("GitHubDeployRole", "OnlyThisRepository", Condition={
         "StringEquals": {f"{_TOKENS}:aud": "sts.amazonaws.com"},
         "StringLike": {f"{_TOKENS}:sub": "repo:us@*/payments@*:environment:prod"}}), _github_test("deploy")),
    ("a plan cannot read what CloudFormation validated",
     drop_statement("GitHubPlanPolicy", "ReadValidationsOfChangeSets"),
     f"{_DEPLOYERS}test_the_policies_allow_that[a plan reads the validations of a change set]"),
    ("a pull request writes the objects of a release",
     edit_statement("GitHubPlanPolicy", "UploadPlans", Resource=[{"Fn::Sub": "${Artifacts.Arn}/*"}]),
     _denial_test("a plan writes what a deployment will ask for")),
    ("a plan passes any role", edit_statement("GitHubPlanPolicy", "CloudFormationActs", Resource=["*"]),
     _denial_test("a plan gives CloudFormation another role")),
    ("a session ends before a watched deployment does", set_value("GitHubDeployRole.MaxSessionDuration", 3600),
     "tests/stacks/test_values.py::test_a_session_of_github_outlasts_a_monitored_deployment"),
]  # fmt: skip

_SECURITY: Planted = [
    ("a new key waits for its tag", drop_statement("QueueKey", "CloudFormationAdministersKey"),
     _operation_test("create")),
    ("a new table's key is not open to who makes the table", drop_statement("DynamodbKey", "CloudFormationMakesTables"),
     _operation_test("create")),
    ("the functions' key is not open to who makes the functions",
     drop_statement("FunctionsKey", "CloudFormationMakesFunctions"), _operation_test("create")),
    ("who deploys uses the tables' key by itself",
     drop_conditions("DynamodbKey", "CloudFormationMakesTables", "kms:ViaService"),
     f"{_SERVICE_ROLE}test_the_role_uses_a_key_only_through_its_service[DynamodbKey]"),
    ("who deploys reads other functions' variables",
     drop_conditions("FunctionsKey", "CloudFormationMakesFunctions", "kms:EncryptionContext:aws:lambda:FunctionArn"),
     f"{_SERVICE_ROLE}test_the_role_uses_a_key_only_through_its_service[FunctionsKey]"),
]  # fmt: skip

_WORKFLOW: Planted = [
    ("the workflow's key is decided by another stack's output",
     set_value("/Conditions.HasWorkflowKey", {"Fn::Not": [{"Fn::Equals": [{"Ref": "WorkflowKeyArn"}, ""]}]}),
     "tests/stacks/test_wiring.py::test_no_condition_reads_an_output_of_another_stack"),
]  # fmt: skip

DEFECTS = [
    *make_defects("artifacts", _BUCKETS, _SERVICE, _FIRST_DEPLOYMENT, _BOUNDARY, _GITHUB),
    *make_defects("security", _SECURITY),
    *make_defects("workflow", _WORKFLOW),
]
