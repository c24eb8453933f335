"""The roles that deploy: which settings create them, and whether their policies fit the quotas of IAM.

test_access_deployers.py and test_service_role.py test what they may do.
"""

import json
import re
from pathlib import Path

import botocore
import pytest

from scripts.audit.deployed import ACCOUNT, PSEUDO
from scripts.common.evaluate import evaluate
from scripts.common.templates import Tree, to_plain_types
from stacks import emit, names, settings
from stacks.artifacts import stack as artifacts
from stacks.artifacts.deployers.policy_terms import Environments
from tests.emitted import ROOT, load_template

ENVIRONMENTS = ("dev", "prod", "staging", "qa1", "sandbox", "demo", "perf")
TEMPLATE = Tree(to_plain_types(load_template("artifacts")))
ALL_ROLES = {"ServiceRole": "true", "PermissionsBoundary": "platform", "GithubRepository": "us/payments"}
STACK = evaluate(TEMPLATE, ALL_ROLES, PSEUDO)
SERVICE_POLICIES = [title for title in STACK.resources if re.fullmatch(r"Service\d+Policy", title)]
CODE_POLICIES = [title for title in STACK.resources if re.fullmatch(r"GitHubCode\d+Policy", title)]
LOOK_POLICIES = [title for title in STACK.resources if re.fullmatch(r"GitHubLook\d+Policy", title)]


def list_actions(*policies: str) -> set[str]:
    """Return the actions that policies of the stack allow."""
    documents = [STACK.resources[policy].properties["PolicyDocument"] for policy in policies]
    return {action for document in documents for statement in document["Statement"] for action in statement["Action"]}


@pytest.mark.parametrize(
    ("repository", "is_accepted"),
    [
        ("us/payments", True),
        ("us@123/payments@456", True),
        ("us@123/payments", False),
        ("us/payments@456", False),
        ("us@123/payments@", False),
        ("us@*/payments@*", False),
        ("us/*", False),
    ],
)
def test_a_repository_is_named_with_both_ids_or_none(repository: str, is_accepted: bool) -> None:
    assert settings.Bootstrap.github_repository.accepts(repository) is is_accepted


def test_a_plan_cannot_change_a_stack() -> None:
    actions = list_actions("GitHubPlanPolicy", *LOOK_POLICIES)
    changing = re.compile(r"cloudformation:(Execute|Delete(?!ChangeSet)|Update|Cancel|Continue|Set|CreateStack)")
    assert not [action for action in actions if changing.match(action)]
    resources = ("backup", "dynamodb", "events", "iam", "kms", "lambda", "logs", "sns", "sqs", "states")
    reading = re.compile(r"\w+:(Describe|Get|List|Simulate)\w+|iam:PassRole")
    assert not [action for action in actions if action.split(":")[0] in resources and not reading.fullmatch(action)]
    # It reads no data, code or secrets either.
    assert not actions & {"dynamodb:GetItem", "lambda:GetFunction", "sqs:ReceiveMessage", "logs:GetLogEvents"}


@pytest.mark.parametrize(
    ("parameters", "count"),
    [
        ({}, 0),
        # One for each environment, including the emulator's.
        ({"PermissionsBoundary": "platform"}, len(settings.deployed_environments()) + 1),
        ({"PermissionsBoundary": "arn:aws:iam::123456789012:policy/theirs"}, 0),
        ({"ServiceRole": "true"}, 1 + len(SERVICE_POLICIES)),
        # Without a service role, GitHub would need all rights of CloudFormation.
        ({"GithubRepository": "us/payments"}, 0),
        (ALL_ROLES | {"PermissionsBoundary": ""}, 6 + len(SERVICE_POLICIES) + len(LOOK_POLICIES) + len(CODE_POLICIES)),
        (
            ALL_ROLES | {"PermissionsBoundary": "", "GithubOidcProviderArn": "arn"},
            5 + len(SERVICE_POLICIES) + len(LOOK_POLICIES) + len(CODE_POLICIES),
        ),
    ],
)
def test_each_setting_creates_its_roles(parameters: dict[str, str], count: int) -> None:
    assert len(evaluate(TEMPLATE, parameters, PSEUDO).resources) - 4 == count


def list_places() -> list[tuple[str, str]]:
    """Return each partition with its Region of the longest name."""
    file = Path(botocore.__file__).with_name("data") / "partitions.json"
    partitions = json.loads(file.read_text(encoding="utf-8"))["partitions"]
    return [
        (partition["id"], max((name for name in partition["regions"] if not name.endswith("global")), key=len))
        for partition in partitions
    ]


@pytest.mark.parametrize("environments", [1, 3, 4])
def test_each_policy_fits_in_the_region_with_the_longest_name(environments: int) -> None:
    check_lengths(environments)


@pytest.mark.parametrize("environments", [1, 4])
def test_each_policy_fits_where_every_environment_shifts_traffic(environments: int) -> None:
    check_lengths(environments, is_shifting=True)


def test_the_documents_say_how_many_environments_fit() -> None:
    fitting = count_fitting_environments()
    check_lengths(fitting)
    line = (
        f"Up to {fitting} environments fit into one account, up to {count_fitting_environments(shifting=1)} if one of "
        "them names a\n"
    )
    is_stated = line in (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")
    assert is_stated, f"docs/deploying.md: write {line.strip()!r}"


def count_fitting_environments(shifting: int = 0) -> int:
    """Return for how many environments the template can be generated, of which some shift traffic."""
    for count in range(1, len(ENVIRONMENTS) + 1):
        names = ENVIRONMENTS[:count]
        try:
            artifacts.build(Environments(names, unprotected=names, code_only=names, shifting=names[:shifting]))
        except settings.SettingsError:
            return count - 1
    raise AssertionError(f"add a name to ENVIRONMENTS: all {len(ENVIRONMENTS)} fit")


def check_lengths(environments: int, *, is_shifting: bool = False) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 6,144 characters; 10 policies

    The partitions and Regions are those that botocore knows.
    """
    names = ENVIRONMENTS[:environments]
    shifting = names if is_shifting else ()
    template = emit.document(
        artifacts.build(Environments(names, unprotected=names, code_only=names, shifting=shifting))
    )
    stack = evaluate(Tree(to_plain_types(template)), ALL_ROLES, {"AWS::AccountId": ACCOUNT})
    policies = {
        name: json.dumps(resource.properties["PolicyDocument"], separators=(",", ":"))
        for name, resource in stack.resources.items()
        if resource.type == "AWS::IAM::ManagedPolicy"
    }
    for name, text in policies.items():
        for partition, region in list_places():
            bucket = f"arn:{partition}:s3:::payment-artifacts-{ACCOUNT}-{region}"
            filled_in = text.replace("${AWS::Partition}", partition).replace("${AWS::Region}", region)
            assert len(filled_in.replace("${Artifacts.Arn}", bucket)) <= 6144, (name, partition)
    assert len(stack.resources["CloudFormationRole"].properties["ManagedPolicyArns"]) <= 10


def test_rights_on_functions_are_for_environments_whose_code_may_change() -> None:
    actions = ("lambda:GetAlias", "lambda:GetFunctionConfiguration", "lambda:UpdateAlias", "lambda:UpdateFunctionCode")
    statements = [
        statement
        for title in (*CODE_POLICIES, *LOOK_POLICIES, "GitHubPlanPolicy", "GitHubDeployPolicy")
        for statement in STACK.resources[title].properties["PolicyDocument"]["Statement"]
        if {*statement["Action"]} & {*actions}
    ]
    resources = [str(resource) for statement in statements for resource in statement["Resource"]]
    assert {name for statement in statements for name in statement["Action"]} == {*actions}
    assert resources
    assert all(re.search(r":function:lambda-payment-[a-z]+-dev(:\*)?$", resource) for resource in resources)
    plan = STACK.resources["GitHubPlanRole"].properties["ManagedPolicyArns"]
    assert not {f"${{{title}}}" for title in CODE_POLICIES} & {*plan}
    without = emit.document(artifacts.build(Environments(("dev",), unprotected=("dev",))))
    assert not [title for title in without["Resources"] if title.startswith("GitHubCode")]


def test_the_key_of_the_functions_is_used_through_lambda_for_functions_whose_code_may_change() -> None:
    (grant,) = [
        statement
        for title in CODE_POLICIES
        for statement in STACK.resources[title].properties["PolicyDocument"]["Statement"]
        if "kms:CreateGrant" in statement["Action"]
    ]
    context = grant["Condition"]["StringEquals"]
    assert context["kms:ViaService"] == "lambda.eu-central-1.amazonaws.com"
    functions = context["kms:EncryptionContext:aws:lambda:FunctionArn"]
    assert len(functions) == len(names.FUNCTIONS)
    assert all(name.endswith("-dev") for name in functions)


def test_more_environments_than_a_role_can_name_are_refused_by_the_generator() -> None:
    with pytest.raises(settings.SettingsError, match=r"an account of their own|their own account"):
        artifacts.build(Environments(tuple(f"environment-{number}" for number in range(8))))
    names = ("dev", "prod", "staging", "qa1", "sandbox")
    with pytest.raises(
        settings.SettingsError, match=r"own account, or take traffic_shift out of prod$|an account of their own"
    ):
        artifacts.build(Environments(names, shifting=("prod",)))


def test_an_environment_that_the_role_does_not_know_cannot_be_deployed(tmp_path: Path) -> None:
    """The settings file differs from that of the generated templates."""
    text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8").replace("service_role = false", "service_role = true")
    file = tmp_path / "environments.toml"
    file.write_text(text.replace("[dev]", "[sandbox]"), encoding="utf-8")
    assert re.search(r"\[sandbox\].*python3 generate.py", settings.describe_missing_generation("sandbox", file))
    assert settings.describe_missing_generation("prod", file) == ""
    assert settings.load("prod", file)["ServiceRole"] == "true"


def test_only_deleted_artifacts_and_plans_expire() -> None:
    rules = STACK.resources["Artifacts"].properties["LifecycleConfiguration"]["Rules"]
    assert [rule["NoncurrentVersionExpiration"] for rule in rules if "NoncurrentVersionExpiration" in rule] == [
        {"NoncurrentDays": 30}
    ]
    expiring = {rule["Id"]: rule.get("Prefix") for rule in rules if "ExpirationInDays" in rule}
    assert expiring == {"PlansExpire": "payment-plans/"}
