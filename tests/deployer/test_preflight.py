"""What would fail is known before anything is uploaded or any stack is touched."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
from botocore.config import Config

from scripts.common.target import Target
from scripts.deployer.finding import Finding, Verdict
from scripts.deployer.order import Order
from scripts.deployer.preflight.examine import CHECKS, collect_findings, read_situation
from scripts.deployer.preflight.name_lookups import LOOKUPS
from scripts.deployer.preflight.region import check_region
from scripts.deployer.preflight.runtime import check_runtime
from scripts.deployer.preflight.situation import Situation
from stacks import names, settings
from stacks.monitoring.alarm_table import alarm_names
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import ACCOUNT, REGION, Refused
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.endpoint import serving
from tests.deployer.conftest import GOLDEN, Command, bootstrapped, deployed, matches
from tests.deployer.test_plan import SCHEMA
from tests.emitted import ROOT
from tests.stacks.test_deployers import EVERYTHING, LOOK_POLICIES, parse_template, statements

OURS = {"ManagedBy": "payment-platform"}
FUNCTIONS = ("lambda-payment-validation-prod", "lambda-payment-processing-prod", "lambda-payment-reconciliation-prod")
Look = Callable[..., Situation]


@dataclass(frozen=True)
class SharedClients(Target):
    """Making a client takes longer than most of what it is asked here."""

    clients: dict[str, Any] = field(default_factory=dict)

    def _create_client(self, service: str, config: Config | None = None) -> Any:
        if service not in self.clients:
            self.clients[service] = super()._create_client(service, config)
        return self.clients[service]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Service, Account, SharedClients]]:
    service, its_account = Service(), Account()
    with serving(service, its_account) as url:
        yield service, its_account, SharedClients(boto3.Session("x", "x", region_name=REGION), url)


@pytest.fixture
def aws(served: tuple[Service, Account, SharedClients]) -> Service:
    """As new."""
    vars(served[0]).update(vars(Service()))
    return served[0]


@pytest.fixture
def account(served: tuple[Service, Account, SharedClients]) -> Account:
    vars(served[1]).update(vars(Account()))
    return served[1]


@pytest.fixture
def look(aws: Service, account: Account, served: tuple[Service, Account, SharedClients]) -> Look:
    """The situation of an environment; settings by the names of their parameters."""

    def situation(
        environment: str = "prod",
        *,
        only_plan: bool = False,
        out: Path | None = None,
        with_bootstrap: bool = False,
        **parameters: str,
    ) -> Situation:
        of_account = ("ServiceRole", "GithubRepository")
        bootstrap = settings.load_bootstrap() | {k: v for k, v in parameters.items() if k in of_account}
        order = Order(environment, settings.load(environment) | parameters, bootstrap, only_plan=only_plan, out=out)
        return read_situation(order, replace(served[2]), with_bootstrap=with_bootstrap)

    return situation


def remarkable(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict is not Verdict.OK]


def findings_of(subject: str, situation: Situation) -> list[tuple[str, str, str]]:
    findings = CHECKS[subject](situation)
    assert {finding.subject for finding in findings} == {subject}
    return [(finding.verdict.value, finding.text, finding.next_step) for finding in findings]


def test_an_empty_account_has_nothing_in_the_way(look: Look, aws: Service) -> None:
    bootstrapped(aws)
    for environment in ("dev", "staging", "prod"):
        assert remarkable(collect_findings(look(environment))) == []
    assert aws.writes() == []


@pytest.mark.parametrize(
    ("limit", "others", "setting", "verdict", "words", "step"),
    [
        (1000, 0, "50", "ok", "150 of 1000", ""),
        (1000, 750, "50", "ok", "150 of 1000", ""),
        (1000, 751, "50", "failure", "limit is 1000, of which 149 can be reserved", "at most 49 in"),
        (1000, 751, "50", "failure", "reserved_concurrency = 50 for 3 functions", "request 1001 of"),
        # What a new account has.
        (10, 0, "50", "failure", "limit is 10, of which 0 can be reserved", "request 250 of Lambda's quota L-B99A9384"),
        (10, 0, "1", "failure", "limit is 10, of which 0 can be reserved", "at most 0 in"),
        (10, 0, "0", "warning", "at most 10 functions at once", "request 1000 of"),
    ],
)
def test_reservations_leave_100_unreserved(
    look: Look, account: Account, limit: int, others: int, setting: str, verdict: str, words: str, step: str
) -> None:
    account.concurrency, account.reserved_by_others = limit, others
    ((said, text, next_step),) = findings_of("concurrency", look(ReservedConcurrency=setting))
    assert said == verdict
    assert words in text
    assert step in next_step


def test_what_the_functions_have_reserved_counts_for_them(
    look: Look, account: Account, aws: Service, tmp_path: Path
) -> None:
    """850 of others and 3 times 10 of ours: 3 times 16 fit, 3 times 17 do not."""
    stack = deployed(aws, tmp_path, environment="prod")
    stack.parameters["ReservedConcurrency"] = "10"
    account.reserved_by_others, account.functions = 850, dict.fromkeys(FUNCTIONS, 10)
    for setting, verdict in (("16", "ok"), ("17", "failure"), ("10", "ok"), ("5", "ok")):
        ((said, *_),) = findings_of("concurrency", look(ReservedConcurrency=setting))
        assert said == verdict, setting


def test_a_function_that_an_operator_has_stopped_stays_as_it_is(
    look: Look, account: Account, aws: Service, tmp_path: Path
) -> None:
    """CloudFormation does not reserve again what the template has not changed, whoever took the rest meanwhile."""
    stack = deployed(aws, tmp_path, environment="prod")
    stack.parameters["ReservedConcurrency"] = "50"
    account.reserved_by_others, account.functions = 900, dict.fromkeys(FUNCTIONS, 0)
    ((said, *_),) = findings_of("concurrency", look(ReservedConcurrency="50"))
    assert said == "ok"


# By the catalogue of names, and not by the templates that the checks read.
NAMED = {
    names.in_environment(str(value), "prod")
    for constant, value in vars(names).items()
    if constant.endswith(
        (
            "TABLE",
            "QUEUE",
            "TOPIC",
            "_ALIAS",
            "_ROLE",
            "_POLICY",
            "_FUNCTION",
            "_RULE",
            "_VAULT",
            "_LOG_GROUP",
        )
    )
    or constant in ("WORKFLOW", "DASHBOARD")
} | {names.in_environment(name, "prod") for name in alarm_names()}
NAMED -= {
    names.SERVICE_ROLE,
    names.in_environment(names.BOUNDARY_POLICY, "prod"),
    names.in_environment(names.GATEWAY_POLICY, "prod"),
}


def taken(aws: Service, account: Account, tags: dict[str, str]) -> None:
    """Every name of prod exists, outside any stack."""
    account.existing = dict.fromkeys(NAMED, tags)
    account.functions = dict.fromkeys(FUNCTIONS)
    aws.alarms = dict.fromkeys([name for name in NAMED if name.startswith("alarm-")], "OK")


def test_every_name_that_exists_outside_the_stack_is_found(look: Look, aws: Service, account: Account) -> None:
    taken(aws, account, {})
    found = [text.split(" ")[0] for verdict, text, _ in findings_of("names", look()) if verdict == "failure"]
    assert sorted(found) == sorted(NAMED)
    assert len(NAMED) > 50


def test_what_the_stack_holds_is_its_own(look: Look, aws: Service, account: Account, tmp_path: Path) -> None:
    deployed(aws, tmp_path, environment="prod")
    taken(aws, account, {})
    assert remarkable(collect_findings(look())) == []


def test_what_the_stack_has_let_go_is_in_the_way(look: Look, aws: Service, account: Account, tmp_path: Path) -> None:
    """A resource that was removed from the stack and retained is still listed."""
    deployed(aws, tmp_path, environment="prod")
    aws.skipped, account.existing = {"DeadLetters"}, {"payment-dlq-prod": OURS}
    ((verdict, text, _),) = findings_of("names", look())
    assert (verdict, text.split(" ")[0]) == ("failure", "payment-dlq-prod")


def test_what_a_failed_creation_let_go_is_in_the_way(
    look: Look, aws: Service, account: Account, tmp_path: Path
) -> None:
    deployed(aws, tmp_path, environment="prod", status="ROLLBACK_COMPLETE")
    aws.holdings.resources.clear()
    aws.alarms = {}
    account.existing = {"payment-dlq-prod": OURS}
    ((verdict, text, _),) = findings_of("names", look())
    assert (verdict, text.split(" ")[0]) == ("failure", "payment-dlq-prod")


@pytest.mark.parametrize(
    ("name", "tags", "words", "step"),
    [
        (
            "payment-dlq-prod",
            OURS,
            "an earlier stack of this platform left it",
            "(scripts/destroy.sh prod --purge), or",
        ),
        (
            "payment-dlq-prod",
            {"Team": "x"},
            "it is not this platform's",
            "choose another environment name, or delete it",
        ),
        ("alias/cloudwatch-logs-prod", {}, "outside payment-platform-prod", "choose another environment name, or"),
        (
            "role-lambda-validation-prod",
            OURS,
            "an earlier stack, or another Region, has it",
            "choose another environment name for this Region, or delete it if no Region of this account uses it: aws "
            "iam delete-role --role-name role-lambda-validation-prod",
        ),
        (
            "role-lambda-validation-prod",
            {"Team": "x"},
            "it is not this platform's",
            "delete it if no Region of this account uses it: aws",
        ),
        # Its tags say nothing: CloudFormation puts none on a policy.
        (
            "policy-lambda-validation-prod",
            {},
            "an earlier stack, or another Region, has it",
            "delete it if no Region of this account uses it: aws",
        ),
        (
            "dashboard-payments-prod",
            {},
            "an earlier stack, or another Region, has it",
            "delete it if no Region of this account uses it: aws",
        ),
        # A second page of the list has it.
        ("backup-vault-payments-prod", OURS, "left it", "(scripts/destroy.sh prod --purge), or"),
    ],
)
def test_whose_it_is_decides_what_to_do(
    look: Look, account: Account, name: str, tags: dict[str, str], words: str, step: str
) -> None:
    account.existing = {"backup-vault-another": {}, name: tags}
    ((verdict, text, next_step),) = findings_of("names", look())
    assert verdict == "failure"
    assert words in text
    assert step in next_step


@pytest.mark.parametrize("tags", [OURS, {"Team": "x"}])
def test_no_advice_takes_down_what_another_region_uses(
    look: Look, aws: Service, account: Account, tags: dict[str, str]
) -> None:
    """IAM's names and those of dashboards are the account's: the same environment in another Region has them."""
    taken(aws, account, tags)
    findings = findings_of("names", look(ServiceRole="true"))
    account_wide = [step for _, text, step in findings if re.search(r"\(AWS::(IAM|CloudWatch::Dashboard)", text)]
    assert len(account_wide) > 10
    assert {step.split(":")[0].rpartition(", or ")[2] for step in account_wide} == {
        "delete it if no Region of this account uses it"
    }


@pytest.mark.parametrize("tags", [OURS, {"Team": "x"}])
def test_no_advice_takes_down_an_environment_that_runs(
    look: Look, aws: Service, account: Account, tmp_path: Path, tags: dict[str, str]
) -> None:
    """Such as a vault that stayed when backups were switched off, and that is in the way when they are on again."""
    deployed(aws, tmp_path, environment="prod")
    aws.holdings.resources.clear()
    aws.skipped = {path.rpartition("/")[2] for path in retained(look())}
    taken(aws, account, tags)
    findings = findings_of("names", look())
    assert len(findings) > 5
    assert not [step for _, _, step in findings if "--purge" in step or "another environment name" in step]
    steps = {text.split(" ")[0]: step for _, text, step in findings}
    imported = "import it into the stack, or " if tags is OURS else ""
    assert steps["backup-vault-payments-prod"] == (
        f"{imported}delete it if nothing uses it: aws backup delete-backup-vault --backup-vault-name "
        "backup-vault-payments-prod"
    )


def retained(situation: Situation) -> list[str]:
    return [resource.path for resource in situation.resources if resource.is_retained]


def test_only_tags_that_cloudformation_sets_say_whose_a_resource_is() -> None:
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    for kind, lookup in LOOKUPS.items():
        tagging = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["tagging"]
        assert lookup.read_tags is None or tagging["taggable"], kind


def test_names_of_the_account_are_found_before_its_first_deployment(look: Look, account: Account) -> None:
    account.existing = {f"payment-artifacts-{ACCOUNT}-{REGION}": {}, "policy-payment-boundary-prod": {}}
    found = findings_of("names", look(with_bootstrap=True))
    assert {text.split(" ")[0] for _, text, _ in found} == set(account.existing)
    (boundary,) = [step for _, text, step in found if text.startswith("policy-")]
    assert boundary.startswith("if another Region has it, see docs/deploying.md#accounts-and-regions; otherwise ")
    assert findings_of("names", look()) != found


def test_a_new_kind_of_name_is_looked_up_or_may_be_had_twice() -> None:
    """A resource type with a name property: either it is looked up, or it is listed here with the reason."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    shared = {
        "AWS::Backup::BackupSelection": "within its plan",
        "AWS::Lambda::Alias": "within its function",
        "AWS::Logs::MetricFilter": "within its log group",
        "AWS::Lambda::LayerVersion": "each version has it",
        "AWS::CloudFormation::Stack": "made by CloudFormation",
    }
    types = {
        (resource["Type"], key)
        for path in (ROOT / "templates").glob("*.yaml")
        for resource in parse_template(path.read_text(encoding="utf-8"))["Resources"].values()
        for key in resource.get("Properties", {})
    }
    for kind, key in sorted(types):
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        fixed = {path.removeprefix("/properties/") for path in schema.get("createOnlyProperties", [])}
        is_reference = kind in ("AWS::Lambda::Version", "AWS::Lambda::Permission") and key == "FunctionName"
        if key.endswith("Name") and key in fixed and not is_reference:
            assert kind in LOOKUPS or kind in shared, (kind, key)


def test_what_may_not_be_asked_is_unknown_and_names_the_permission(look: Look, account: Account) -> None:
    account.denied = {
        "lambda:GetAccountSettings",
        "logs:DescribeResourcePolicies",
        "iam:SimulatePrincipalPolicy",
        "dynamodb:DescribeTable",
        "kms:ListAliases",
        "backup:ListBackupVaults",
    }
    findings = remarkable(collect_findings(look()))
    assert {finding.verdict for finding in findings} == {Verdict.UNKNOWN}
    assert {finding.next_step for finding in findings} == {f"grant {action}" for action in account.denied}
    # A line for the two tables.
    assert len(findings) == len(account.denied)


def test_what_the_stack_holds_must_be_readable(look: Look, aws: Service, tmp_path: Path) -> None:
    deployed(aws, tmp_path, environment="prod")
    aws.errors = {"ListStackResources": [Refused("AccessDenied", "not you", 403)]}
    ((verdict, _, step),) = findings_of("names", look())
    assert (verdict, step) == ("unknown", "grant cloudformation:ListStackResources")


@pytest.mark.parametrize(
    ("policies", "verdict"),
    [
        ({f"p{n}": "{}" for n in range(8)}, "ok"),
        ({f"p{n}": "{}" for n in range(10)}, "warning"),
        ({f"p{n}": "{}" for n in range(9)} | {"AWSLogDeliveryWrite20150319": "{}"}, "ok"),
        ({"AWSLogDeliveryWrite20150319": "x" * 5000}, "warning"),
        ({"AWSLogDeliveryWrite20150319": "x" * 5000 + "log-group:/aws/vendedlogs/*"}, "ok"),
    ],
)
def test_policies_of_logs_are_counted(look: Look, account: Account, policies: dict[str, str], verdict: str) -> None:
    account.log_policies = policies
    ((said, *_),) = findings_of("log policies", look())
    assert said == verdict


def test_the_callers_rights_are_simulated(look: Look, account: Account, aws: Service) -> None:
    """Of a role by its own ARN, which the ARN of its session does not give."""
    account.caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/engineer/jane"
    account.denied_by_simulation = {"dynamodb:CreateTable", "cloudformation:ExecuteChangeSet"}
    ((verdict, text, _),) = findings_of("rights", look())
    role = f"arn:aws:iam::{ACCOUNT}:role/people/engineer"
    assert (verdict, text) == (
        "warning",
        f"{role} may not cloudformation:ExecuteChangeSet, dynamodb:CreateTable, by simulation",
    )
    simulated = [given for name, given in aws.calls if name == "iam:SimulatePrincipalPolicy"]
    assert {given["PolicySourceArn"] for given in simulated} == {role}
    # A table that may be created is asked for by its name, after "any table" was denied.
    assert simulated[-1]["ResourceArns"][0].endswith(":table/dynamodb-transactions-prod")


def test_a_plan_and_a_service_role_need_fewer_rights(look: Look, account: Account, aws: Service) -> None:
    account.denied_by_simulation = {"dynamodb:CreateTable", "cloudformation:ExecuteChangeSet"}
    assert findings_of("rights", look(only_plan=True))[0][0] == "ok"
    account.denied_by_simulation = {"dynamodb:CreateTable"}
    assert findings_of("rights", look(ServiceRole="true"))[0][0] == "ok"
    passing = [given for name, given in aws.calls if given.get("ActionNames") == ["iam:PassRole"]]
    assert [given["ResourceArns"] for given in passing] == [
        [f"arn:aws:iam::{ACCOUNT}:role/role-payment-cloudformation"]
    ]


@pytest.mark.parametrize(
    ("role", "only_plan", "out", "refused"),
    [
        ("GitHubPlanRole", True, None, set()),
        ("GitHubDeployRole", True, None, set()),
        ("GitHubDeployRole", True, Path("plan.json"), set()),
        ("GitHubDeployRole", False, None, set()),
        # It plans for any pull request, and leaves nothing that a deployment would read.
        ("GitHubPlanRole", True, Path("plan.json"), {"s3:GetObject", "s3:PutObject"}),
        (
            "GitHubPlanRole",
            False,
            None,
            {
                "s3:GetObject",
                "s3:PutObject",
                "cloudformation:DescribeStackEvents",
                "cloudformation:ExecuteChangeSet",
            },
        ),
    ],
)
def test_githubs_roles_have_what_is_simulated(
    look: Look,
    account: Account,
    aws: Service,
    world: Any,
    role: str,
    only_plan: bool,
    out: Path | None,
    refused: set[str],
) -> None:
    """By the emitted policies, as they are in eu-central-1; a simulation does not read the bucket's policy.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    """
    name = world.roles[role].arn.rpartition("/")[2]
    account.caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/run"
    findings_of("rights", look(ServiceRole="true", only_plan=only_plan, out=out))
    simulated = [given for operation, given in aws.calls if operation == "iam:SimulatePrincipalPolicy"]
    denied = set()
    for given in simulated:
        context = {entry["ContextKeyName"]: entry["ContextKeyValues"][0] for entry in given.get("ContextEntries", [])}
        for action in given["ActionNames"]:
            for arn in given["ResourceArns"]:
                there = arn.replace(REGION, "eu-central-1")
                if not world.policies_allow(role, action, there, context):
                    denied.add(action)
    assert {"s3:PutObject", "iam:PassRole"} <= {action for given in simulated for action in given["ActionNames"]}
    assert denied == refused


@pytest.mark.parametrize(
    ("only_plan", "out", "prefix"),
    [(True, None, "payment-plans"), (True, Path("plan.json"), "payment-platform"), (False, None, "payment-platform")],
)
def test_uploads_are_simulated_where_they_go(
    look: Look, aws: Service, only_plan: bool, out: Path | None, prefix: str
) -> None:
    findings_of("rights", look(only_plan=only_plan, out=out))
    (arn,) = [
        arn for _, given in aws.calls if "s3:PutObject" in given.get("ActionNames", []) for arn in given["ResourceArns"]
    ]
    assert arn == f"arn:aws:s3:::payment-artifacts-{ACCOUNT}-{REGION}/{prefix}/prod/{'0' * 64}.yaml"


@pytest.mark.parametrize(
    ("repository", "verdicts"), [("", []), ("us/payments", ["warning"]), ("us@12/payments@345", ["ok"])]
)
def test_a_repository_without_ids_is_warned_about(look: Look, repository: str, verdicts: list[str]) -> None:
    findings = CHECKS["github"](look(GithubRepository=repository))
    assert [finding.verdict.value for finding in findings] == verdicts
    assert all("opt in to immutable subjects" in finding.next_step for finding in remarkable(findings))


@pytest.mark.parametrize(
    ("caller", "verdict"),
    [(f"arn:aws:iam::{ACCOUNT}:root", "ok"), (f"arn:aws:sts::{ACCOUNT}:federated-user/x", "unknown")],
)
def test_who_cannot_be_simulated(look: Look, account: Account, aws: Service, caller: str, verdict: str) -> None:
    account.caller = caller
    ((said, *_),) = findings_of("rights", look())
    assert said == verdict
    assert not [name for name, _ in aws.calls if name == "iam:SimulatePrincipalPolicy"]


def test_a_runtime_ends_in_steps(look: Look, aws: Service, tmp_path: Path) -> None:
    new = look("dev")
    deployed(aws, tmp_path)
    existing = look("dev")
    runtimes = {"python3.11"}
    resources = [
        replace(one, properties=one.properties | {"Runtime": "python3.11"}) if "Runtime" in one.properties else one
        for one in new.resources
    ]
    held = [
        replace(one, properties=one.properties | {"Runtime": "python3.11"}) if "Runtime" in one.properties else one
        for one in existing.resources
    ]

    def verdict(resources: list[Any], day: date) -> str:
        (finding,) = check_runtime(replace(new, resources=tuple(resources), today=day))
        assert finding.text.split(":")[0].split(" ")[0] in runtimes
        return finding.verdict.value

    assert verdict(resources, date(2027, 1, 1)) == "warning"  # 180 days before
    assert verdict(resources, date(2026, 12, 31)) == "ok"
    assert verdict(resources, date(2027, 7, 30)) == "warning"
    assert verdict(resources, date(2027, 7, 31)) == "failure"
    assert verdict(held, date(2027, 8, 30)) == "warning"
    (late,) = check_runtime(replace(new, resources=tuple(held), today=date(2027, 8, 31)))
    assert (late.verdict, "refuses any change" in late.text) == (Verdict.WARNING, True)


def test_the_day_is_that_of_aws(look: Look) -> None:
    assert look().today == date(2026, 1, 1)


def test_a_region_is_known_or_unknown(look: Look) -> None:
    situation = look("prod")
    for region, verdict in (("eu-west-1", "ok"), ("eu-nowhere-9", "unknown")):
        (finding,) = check_region(replace(situation, place={**situation.place, "region": region}))
        assert finding.verdict.value == verdict
    strange = replace(situation.resources[0], type="AWS::Outposts::Site")
    place = {**situation.place, "region": "ap-southeast-7"}
    (finding,) = check_region(replace(situation, place=place, resources=(strange,)))
    assert (finding.verdict.value, finding.text) == ("warning", "ap-southeast-7 may not offer outposts")


def test_a_check_that_breaks_off_stops_nobody(look: Look, aws: Service) -> None:
    aws.errors = {"lambda:GetAccountSettings": [Refused("TooEarly", "teapot")]}
    (finding,) = remarkable(collect_findings(look()))
    assert (finding.subject, finding.verdict, "teapot" in finding.text) == ("concurrency", Verdict.UNKNOWN, True)


def in_the_way(account: Account) -> None:
    account.concurrency = 10
    account.existing = {
        "dynamodb-transactions-dev": OURS,
        "dynamodb-payment-ledger-dev": OURS,
        "payment-dlq-dev": {"Team": "orders"},
    }
    account.denied = {"logs:DescribeResourcePolicies"}


@pytest.mark.parametrize("there", ["", "failed"])
def test_nothing_is_uploaded_and_no_stack_touched_when_it_stops(
    command: Command, aws: Service, account: Account, tmp_path: Path, there: str
) -> None:
    """Before the first deployment of an account, and after a creation that failed."""
    if there == "failed":
        deployed(aws, tmp_path, status="ROLLBACK_COMPLETE")
        aws.holdings.resources.clear()
        aws.alarms = {}
    stacks, objects = set(aws.stacks), dict(aws.objects)
    in_the_way(account)
    ran = command("dev", "--yes")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "deploy: dynamodb-transactions-dev (AWS::DynamoDB::Table) exists outside payment-platform-dev: an earlier "
        "stack of this platform left it; delete it with its data (scripts/destroy.sh dev --purge), or import it into "
        "the stack (2 more above); nothing was changed"
    ]
    assert aws.writes() == []
    assert (set(aws.stacks), aws.objects) == (stacks, objects)


def test_the_findings_as_a_person_sees_them(command: Command, aws: Service, account: Account) -> None:
    bootstrapped(aws)
    in_the_way(account)
    ran = command("dev", "--plan")
    assert ran.code == 1
    matches("preflight.txt", ran.out)
    shown = (GOLDEN / "preflight.txt").read_text(encoding="utf-8")
    assert shown in (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8")


def test_the_findings_fit_a_terminal(command: Command, aws: Service, account: Account) -> None:
    bootstrapped(aws)
    in_the_way(account)
    terminal = command.on_a_terminal("dev", "--plan", columns=80)
    matches("preflight_80.txt", terminal.text)


def test_the_findings_for_programs_and_pull_requests(command: Command, aws: Service, account: Account) -> None:
    bootstrapped(aws)
    in_the_way(account)
    records = [json.loads(line) for line in command("dev", "--plan", "--json").out.splitlines()]
    for record in records:
        jsonschema.validate(record, SCHEMA)
    (preflight,) = [record for record in records if record["type"] == "preflight"]
    # No repository is set.
    assert {one["subject"] for one in preflight["findings"]} == set(CHECKS) - {"github"}
    assert {one["verdict"] for one in preflight["findings"]} == {"ok", "warning", "failure", "unknown"}
    matches("preflight.md", command("dev", "--plan", "--markdown").out)


def test_github_may_ask_exactly_what_the_checks_ask(look: Look, aws: Service, account: Account) -> None:
    """By what the simulated services were asked; seen to fail with a call more, and with an action more."""
    account.caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/role-payment-github-plan/run"
    for tags in (OURS, {"Team": "x"}):
        taken(aws, account, tags)
        collect_findings(look(ServiceRole="true", ReservedConcurrency="50", only_plan=True))
    account.existing, account.functions = {}, {}
    collect_findings(look(ServiceRole="true", only_plan=True))
    asked = {name for name, _ in aws.calls if ":" in name}
    asked = {name.replace("monitoring:", "cloudwatch:") for name in asked}
    assert {action for look in statements(EVERYTHING, *LOOK_POLICIES) for action in look["Action"]} == asked
    for role in ("GitHubPlanRole", "GitHubDeployRole"):
        attached = EVERYTHING.resources[role].properties["ManagedPolicyArns"]
        assert {f"${{{title}}}" for title in LOOK_POLICIES} <= set(attached)
