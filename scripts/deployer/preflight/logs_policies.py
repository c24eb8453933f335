"""Checks the number of resource policies of CloudWatch Logs, of which an account has at most 10 in a Region.

CloudWatch Logs adds the log group of a state machine to the account's policy for log delivery, or to a new one.
https://docs.aws.amazon.com/step-functions/latest/dg/bp-cwl.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-infrastructure-CWL.html
"""

from botocore.exceptions import ClientError

from scripts.common.suggestion import complete_aws_commands

from ..finding import Finding, Verdict
from .situation import Situation, unknown_finding

SUBJECT = "log policies"
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutResourcePolicy.html
MOST_POLICIES = 10
LONGEST_POLICY = 5120
DELIVERY_POLICY = "AWSLogDeliveryWrite20150319"
# CloudWatch Logs adds this prefix by itself when the policy grows too long.
DELIVERY_PREFIX = "/aws/vendedlogs/"
_STATE_MACHINE = "AWS::StepFunctions::StateMachine"


def check_logs_policies(situation: Situation) -> list[Finding]:
    """Check that there is room for the policy that a new state machine's log needs."""
    new = [
        resource.path
        for resource in situation.resources
        if resource.type == _STATE_MACHINE
        and resource.properties.get("LoggingConfiguration")
        and not resource.is_held_as(str(resource.properties.get("StateMachineName", "")))
    ]
    if not new:
        return [Finding(SUBJECT, Verdict.OK, "no state machine starts to log")]
    try:
        pages = situation.client("logs").get_paginator("describe_resource_policies").paginate()
        policies = {
            policy["policyName"]: policy.get("policyDocument", "")
            for page in pages
            for policy in page["resourcePolicies"]
        }
    except ClientError as error:
        return [
            unknown_finding(SUBJECT, "the resource policies of CloudWatch Logs", "logs:DescribeResourcePolicies", error)
        ]
    return [_judge_policies(policies)]


def _judge_policies(policies: dict[str, str]) -> Finding:
    count = f"{len(policies)} of {MOST_POLICIES} resource policies of CloudWatch Logs exist"
    delivery = policies.get(DELIVERY_POLICY)
    step = complete_aws_commands(
        "delete a policy that nothing needs: aws logs describe-resource-policies, aws logs delete-resource-policy"
    )
    if delivery is None and len(policies) >= MOST_POLICIES:
        text = f"{count}, and none is {DELIVERY_POLICY}: the state machine's log may be refused"
        return Finding(SUBJECT, Verdict.WARNING, text, step)
    if delivery is not None and DELIVERY_PREFIX not in delivery and len(delivery) > LONGEST_POLICY * 9 // 10:
        text = f"{DELIVERY_POLICY} has {len(delivery)} of {LONGEST_POLICY} characters"
        step = f"replace its log groups by one resource with the prefix {DELIVERY_PREFIX}"
        return Finding(SUBJECT, Verdict.WARNING, text, step)
    if len(policies) >= MOST_POLICIES - 1 and delivery is None:
        return Finding(SUBJECT, Verdict.WARNING, f"{count}; one more may be added", step)
    return Finding(SUBJECT, Verdict.OK, count)
