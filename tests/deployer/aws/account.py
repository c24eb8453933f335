"""The resources of an account outside stacks, and the answers of the services, in their documented shapes.

A test sets them before it runs a command. An empty account has no resources, and a concurrency of 1,000.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.deployer.aws.holdings import Refused
from tests.deployer.aws.settings import ACCOUNT, REGION


@dataclass
class Account:
    caller: str = f"arn:aws:iam::{ACCOUNT}:user/somebody"
    # https://docs.aws.amazon.com/lambda/latest/dg/API_GetAccountSettings.html
    concurrency: int = 1000
    reserved_by_others: int = 0
    # The reserved concurrency by function, or None.
    functions: dict[str, int | None] = field(default_factory=dict)
    # The tags of each other resource outside stacks, by its name or ARN.
    existing: dict[str, dict[str, str]] = field(default_factory=dict)
    # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeResourcePolicies.html
    log_policies: dict[str, str] = field(default_factory=dict)
    # The actions that IAM's simulation denies, and those that the services deny.
    denied_by_simulation: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)

    def answer_request(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if f"{service}:{operation}" in self.denied:
            raise Refused(
                "AccessDenied", f"User: {self.caller} is not authorized to perform: {service}:{operation}", 403
            )
        answer: dict[str, Any] = getattr(self, f"_answer_{service}")(operation, request)
        return answer

    def _find_tags(self, name: str, code: str, status: int = 400) -> dict[str, str]:
        if name not in self.existing:
            raise Refused(code, f"{name} does not exist", status)
        return self.existing[name]

    def _answer_lambda(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "GetAccountSettings":
            reserved = self.reserved_by_others + sum(reservation or 0 for reservation in self.functions.values())
            unreserved = self.concurrency - reserved
            return {
                "AccountLimit": {"ConcurrentExecutions": self.concurrency, "UnreservedConcurrentExecutions": unreserved}
            }
        name = request["name"]
        if operation == "ListTags":
            return {"Tags": self.existing.get(name, {})}
        if name not in self.functions:
            raise Refused("ResourceNotFoundException", f"Function not found: {name}", 404)
        reserved_now = self.functions[name]
        return {} if reserved_now is None else {"ReservedConcurrentExecutions": reserved_now}

    def _answer_backup(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "ListBackupVaults":
            names = sorted(name for name in self.existing if name.startswith("backup-vault-"))
            arn = f"arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:"
            return {"BackupVaultList": [{"BackupVaultName": name, "BackupVaultArn": f"{arn}{name}"} for name in names]}
        # AWS Backup denies access to a vault that does not exist: https://github.com/aws/aws-sdk-js/issues/2625
        tags = self._find_tags(request["name"], "AccessDeniedException", 403)
        return {"Tags": tags} if operation == "ListTags" else {"BackupVaultName": request["name"]}

    def _answer_dynamodb(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        name = request.get("TableName") or request["ResourceArn"].rpartition("/")[2]
        tags = self._find_tags(name, "ResourceNotFoundException")
        if operation == "ListTagsOfResource":
            return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        return {"Table": {"TableName": name, "TableStatus": "ACTIVE"}}

    def _answer_sqs(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        name = request.get("QueueName") or request["QueueUrl"].rpartition("/")[2]
        tags = self._find_tags(name, "AWS.SimpleQueueService.NonExistentQueue")
        if operation == "ListQueueTags":
            return {"Tags": tags}
        return {"QueueUrl": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"}

    def _answer_sns(self, _: str, request: dict[str, Any]) -> dict[str, Any]:
        self._find_tags(request["TopicArn"].rpartition(":")[2], "NotFound", 404)
        return {"Attributes": {"TopicArn": request["TopicArn"]}}

    def _answer_kms(self, _: str, __: dict[str, Any]) -> dict[str, Any]:
        names = [name for name in self.existing if name.startswith("alias/")]
        return {"Aliases": [{"AliasName": name} for name in names], "Truncated": False}

    def _answer_logs(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "DescribeResourcePolicies":
            policies = self.log_policies.items()
            return {"resourcePolicies": [{"policyName": k, "policyDocument": v} for k, v in policies]}
        if operation == "ListTagsForResource":
            return {"tags": self.existing[request["resourceArn"].rpartition("log-group:")[2]]}
        names = sorted(name for name in self.existing if name.startswith(request["logGroupNamePrefix"]))
        return {"logGroups": [{"logGroupName": name} for name in names[: request["limit"]]]}

    def _answer_states(self, _: str, request: dict[str, Any]) -> dict[str, Any]:
        assert request["includedData"] == "METADATA_ONLY", "the definition may be encrypted"
        self._find_tags(request["stateMachineArn"].rpartition(":")[2], "StateMachineDoesNotExist")
        return {"stateMachineArn": request["stateMachineArn"]}

    def _answer_events(self, _: str, request: dict[str, Any]) -> dict[str, Any]:
        self._find_tags(request["Name"], "ResourceNotFoundException")
        return {"Name": request["Name"]}

    def _answer_monitoring(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        assert operation == "GetDashboard", operation
        self._find_tags(request["DashboardName"], "ResourceNotFound", 404)
        return {"DashboardName": request["DashboardName"]}

    def _answer_s3(self, _: str, request: dict[str, Any]) -> dict[str, Any]:
        self._find_tags(request["name"], "404", 404)
        return {}

    def _answer_iam(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "SimulatePrincipalPolicy":
            return self._simulate_policy(request)
        name = request.get("RoleName") or next(iter(request.values())).split("/", 1)[1]
        if operation == "GetRole" and f"assumed-role/{name}/" in self.caller:
            return {"Role": _describe_role(name, f"arn:aws:iam::{ACCOUNT}:role/people/{name}", {})}
        tags = self._find_tags(name, "NoSuchEntity", 404)
        if operation == "GetRole":
            return {"Role": _describe_role(name, f"arn:aws:iam::{ACCOUNT}:role/{name}", tags)}
        if operation == "GetPolicy":
            return {"Policy": {"PolicyName": name, "Tags": _list_tags(tags)}}
        return {"Url": name}

    def _simulate_policy(self, request: dict[str, Any]) -> dict[str, Any]:
        """https://docs.aws.amazon.com/IAM/latest/APIReference/API_EvaluationResult.html"""
        results = [
            {
                "EvalActionName": action,
                "EvalResourceName": arn,
                "EvalDecision": "implicitDeny" if action in self.denied_by_simulation else "allowed",
            }
            for action in request["ActionNames"]
            for arn in request["ResourceArns"]
        ]
        return {"EvaluationResults": results, "IsTruncated": False}


def _describe_role(name: str, arn: str, tags: dict[str, str]) -> dict[str, Any]:
    return {
        "Path": "/",
        "RoleName": name,
        "RoleId": "AROA0000000000000000",
        "Arn": arn,
        "CreateDate": "2026-01-01T09:00:00Z",
        "Tags": _list_tags(tags),
    }


def _list_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
