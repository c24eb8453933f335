"""Checks of log policies, GitHub's subject, runtimes and Regions."""

from dataclasses import replace
from datetime import date

import pytest

from scripts.deployer.finding import Finding, Verdict
from scripts.deployer.preflight.concurrency import FUNCTION
from scripts.deployer.preflight.examine import CHECKS, collect_findings
from scripts.deployer.preflight.region import check_region
from scripts.deployer.preflight.runtime import check_runtime
from scripts.deployer.preflight.situation import Situation
from tests.deployer.aws.account import Account
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.holdings import Refused
from tests.deployer.conftest import add_bootstrap_stack, add_platform
from tests.deployer.preflight.conftest import Reader, findings_of, not_passed


def test_an_empty_account_passes_all_checks(situation_of: Reader, aws: Service) -> None:
    add_bootstrap_stack(aws)
    for environment in ("dev", "staging", "prod"):
        assert not_passed(collect_findings(situation_of(environment))) == []
    assert aws.find_writes() == []


@pytest.mark.parametrize(
    ("policies", "verdict"),
    [
        ({f"p{n}": "{}" for n in range(8)}, "ok"),
        ({f"p{n}": "{}" for n in range(9)}, "warning"),
        ({f"p{n}": "{}" for n in range(10)}, "warning"),
        ({f"p{n}": "{}" for n in range(9)} | {"AWSLogDeliveryWrite20150319": "{}"}, "ok"),
        ({"AWSLogDeliveryWrite20150319": "x" * 5000}, "warning"),
        ({"AWSLogDeliveryWrite20150319": "x" * 5000 + "log-group:/aws/vendedlogs/*"}, "ok"),
    ],
)
def test_the_resource_policies_of_cloudwatch_logs_are_counted(
    situation_of: Reader, account: Account, policies: dict[str, str], verdict: str
) -> None:
    account.log_policies = policies
    ((actual, *_),) = findings_of("log policies", situation_of())
    assert actual == verdict


@pytest.mark.parametrize(
    ("repository", "verdicts"), [("", []), ("us/payments", ["warning"]), ("us@12/payments@345", ["ok"])]
)
def test_a_repository_without_ids_is_warned_about(situation_of: Reader, repository: str, verdicts: list[str]) -> None:
    findings = CHECKS["github"](situation_of(GithubRepository=repository))
    assert [finding.verdict.value for finding in findings] == verdicts
    assert all("opt in to immutable subjects" in finding.next_step for finding in not_passed(findings))


def test_the_end_of_a_runtimes_support_warns_first_and_fails_later(situation_of: Reader, aws: Service) -> None:
    first_deployment = situation_of("dev")
    add_platform(aws)
    update = situation_of("dev")

    def check_on(day: date, situation: Situation, runtime: str = "python3.11") -> Finding:
        resources = tuple(
            replace(item, properties=item.properties | {"Runtime": runtime}) if item.type == FUNCTION else item
            for item in situation.resources
        )
        (finding,) = check_runtime(replace(situation, resources=resources, today=day))
        assert finding.text.startswith(runtime)
        return finding

    for situation, day, verdict in (
        (first_deployment, date(2026, 12, 31), "ok"),
        (first_deployment, date(2027, 1, 1), "warning"),  # 180 days before the end of support
        (first_deployment, date(2027, 7, 30), "warning"),
        (first_deployment, date(2027, 7, 31), "failure"),
        (update, date(2027, 8, 30), "warning"),
    ):
        assert check_on(day, situation).verdict.value == verdict, day
    assert check_on(date(2026, 1, 1), update, "python3.99").verdict is Verdict.UNKNOWN
    blocked = check_on(date(2027, 8, 31), update)
    assert (blocked.verdict, "refuses any change" in blocked.text) == (Verdict.WARNING, True)


def test_the_current_date_is_read_from_aws(situation_of: Reader) -> None:
    assert situation_of().today == date(2026, 1, 1)


def test_a_region_without_a_needed_service_is_reported(situation_of: Reader) -> None:
    situation = situation_of("prod")
    for region, verdict in (("eu-west-1", "ok"), ("eu-nowhere-9", "unknown")):
        (finding,) = check_region(replace(situation, place={**situation.place, "region": region}))
        assert finding.verdict.value == verdict
    strange = replace(situation.resources[0], type="AWS::Outposts::Site")
    unknown = replace(situation.resources[0], type="AWS::Nowhere::Thing")
    (finding,) = check_region(replace(situation, resources=(unknown,)))
    assert (finding.verdict.value, finding.text) == ("unknown", "boto3 does not know the services nowhere")
    place = {**situation.place, "region": "ap-southeast-7"}
    (finding,) = check_region(replace(situation, place=place, resources=(strange,)))
    assert (finding.verdict.value, finding.text) == ("warning", "ap-southeast-7 may not offer outposts")


def test_a_check_that_fails_stops_no_other(situation_of: Reader, aws: Service) -> None:
    aws.errors = {"lambda:GetAccountSettings": [Refused("TooEarly", "teapot")]}
    (finding,) = not_passed(collect_findings(situation_of()))
    assert (finding.subject, finding.verdict, "teapot" in finding.text) == ("concurrency", Verdict.UNKNOWN, True)
