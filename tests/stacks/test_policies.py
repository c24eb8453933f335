"""Who may do what, read from the emitted templates."""

import json
from typing import Any

from tests.emitted import resources, strings

UNSCOPED = {"LogDeliveryHasNoResource", "TracingHasNoResource"}


def test_function_roles_may_do_exactly_this(templates: dict[str, Any]) -> None:
    policies = resources(templates["security"], "AWS::IAM::ManagedPolicy")
    told = {title: {s["Sid"]: s["Action"] for s in _statements(policy)} for title, policy in policies.items()}
    own = {
        "AppendToLedger": ["dynamodb:PutItem"],
        "UseTableKeyThroughDynamoDB": ["kms:Decrypt"],
        "DeadLetterAsyncInvocations": ["sqs:SendMessage"],
        "WriteOwnLogs": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "TracingHasNoResource": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
    }
    assert told["ValidationPolicy"] == {"RecordPayments": ["dynamodb:PutItem"], **own}
    assert told["ProcessingPolicy"] == {"RecordPayments": ["dynamodb:GetItem", "dynamodb:PutItem"], **own}
    publish = {"PublishNotices": ["sns:Publish"], "UseTopicKeyThroughSNS": ["kms:Decrypt", "kms:GenerateDataKey"]}
    assert told["ReconciliationPolicy"] == {
        "RecordPayments": ["dynamodb:GetItem", "dynamodb:PutItem"],
        "FindOverduePayments": ["dynamodb:Query"],
        **publish,
        **own,
    }
    assert told["GatewaySecretPolicy"] == {
        "ReadGatewaySecret": ["secretsmanager:GetSecretValue"],
        "UseSecretKeyThroughSecretsManager": ["kms:Decrypt"],
    }
    assert told["WorkflowPolicy"] == {
        "InvokeLiveFunctions": ["lambda:InvokeFunction"],
        "DeadLetterPayments": ["sqs:SendMessage"],
        **publish,
        # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
        "LogDeliveryHasNoResource": [
            f"logs:{action}"
            for action in (
                "CreateLogDelivery", "DeleteLogDelivery", "DescribeLogGroups", "DescribeResourcePolicies",
                "GetLogDelivery", "ListLogDeliveries", "PutResourcePolicy", "UpdateLogDelivery",
            )
        ],
        "TracingHasNoResource": [
            "xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments",
        ],
    }  # fmt: skip


def test_no_wildcard_but_where_aws_has_no_resource(templates: dict[str, Any]) -> None:
    for title, policy in resources(templates["security"], "AWS::IAM::ManagedPolicy").items():
        for statement in _statements(policy):
            assert not any("*" in action for action in statement["Action"]), (title, statement["Sid"])
            if statement["Sid"] in UNSCOPED:
                assert statement["Resource"] == ["*"]
            else:
                # The streams of one log group are the one place where the end of an ARN is open.
                for resource in statement["Resource"]:
                    assert resource != "*"
                    text = json.dumps(resource)
                    assert "*" not in text or f":log-group:/aws/lambda/{_log_group(title)}:*" in text, text


def test_a_role_has_its_policy_from_its_first_moment(templates: dict[str, Any]) -> None:
    for title, role in resources(templates["security"], "AWS::IAM::Role").items():
        own, *more = role["Properties"]["ManagedPolicyArns"]
        assert own == {"Ref": title.replace("Role", "Policy")}
        secret = {"Fn::If": ["HasGatewaySecret", {"Ref": "GatewaySecretPolicy"}, {"Ref": "AWS::NoValue"}]}
        assert more == ([secret] if title in ("ProcessingRole", "ReconciliationRole") else [])


def test_the_gateways_secret_is_decrypted_only_where_a_key_is_named(templates: dict[str, Any]) -> None:
    conditions = templates["security"]["Conditions"]
    for name in ("GatewaySecret", "GatewaySecretKey"):
        assert conditions[f"Has{name}"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": f"{name}Arn"}, ""]}]}
    policy = resources(templates["security"])["GatewaySecretPolicy"]
    assert policy["Condition"] == "HasGatewaySecret"
    condition, with_key, without = policy["Properties"]["PolicyDocument"]["Fn::If"]
    assert condition == "HasGatewaySecretKey"
    read, decrypt = with_key["Statement"]
    assert without["Statement"] == [read]
    assert read["Resource"] == [{"Ref": "GatewaySecretArn"}]
    assert decrypt["Resource"] == [{"Ref": "GatewaySecretKeyArn"}]
    # Secrets Manager's context has no prefix:
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    assert decrypt["Condition"] == {
        "StringEquals": {
            "kms:ViaService": {"Fn::Sub": "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"},
            "kms:CallerAccount": {"Ref": "AWS::AccountId"},
            "kms:EncryptionContext:SecretARN": {"Ref": "GatewaySecretArn"},
        }
    }


def test_roles_trust_their_service_for_this_account_only(templates: dict[str, Any]) -> None:
    for title, role in resources(templates["security"], "AWS::IAM::Role").items():
        (statement,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        service = "states.amazonaws.com" if title == "WorkflowRole" else "lambda.amazonaws.com"
        assert statement["Principal"] == {"Service": [service]} or statement["Principal"] == {"Service": service}
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        if title == "WorkflowRole":
            assert "stateMachine:sfn-payment-workflow-${Environment}" in json.dumps(statement["Condition"]["ArnEquals"])


def test_the_account_can_always_administer_its_keys_and_not_use_them_by_that(templates: dict[str, Any]) -> None:
    keys = resources(templates["security"], "AWS::KMS::Key")
    assert len(keys) == 3
    for key in keys.values():
        administration = key["Properties"]["KeyPolicy"]["Statement"][0]
        assert administration["Sid"] == "AccountAdministersKey"
        assert "iam::${AWS::AccountId}:root" in json.dumps(administration["Principal"])
        assert {"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"} <= set(administration["Action"])
        assert not {"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:*"} & set(administration["Action"])
        assert key["Properties"]["EnableKeyRotation"] is True


def test_alarms_and_the_workflow_can_publish_through_the_encrypted_topic(templates: dict[str, Any]) -> None:
    (policy,) = resources(templates["data"], "AWS::SNS::TopicPolicy").values()
    statements = {s["Sid"]: s for s in policy["Properties"]["PolicyDocument"]["Statement"]}
    assert set(statements) == {"WorkflowPublishes", "ReconciliationPublishes", "AlarmsPublish"}
    source = statements["AlarmsPublish"]["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]
    assert source == "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:*"
    assert "cloudwatch.amazonaws.com" in strings(statements["AlarmsPublish"]["Principal"])
    assert statements["AlarmsPublish"]["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}

    key = templates["security"]["Resources"]["SnsKey"]["Properties"]["KeyPolicy"]["Statement"]
    users = {s["Sid"]: s for s in key[1:]}
    assert set(users) == {"RolesPublish", "AlarmsPublish"}
    topic = {
        "Fn::Sub": "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:sns-payment-notifications-${Environment}"
    }
    for statement in users.values():
        assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
        assert statement["Condition"]["StringEquals"]["kms:EncryptionContext:aws:sns:topicArn"] == topic
    assert users["AlarmsPublish"]["Condition"]["StringEquals"]["aws:SourceAccount"] == {"Ref": "AWS::AccountId"}
    roles = users["RolesPublish"]["Condition"]["ArnEquals"]["aws:PrincipalArn"]
    assert [role["Fn::Sub"].split(":role/")[1] for role in roles] == [
        "role-sfn-payment-workflow-${Environment}",
        "role-lambda-reconciliation-${Environment}",
    ]


def test_every_use_of_a_key_by_the_account_is_through_its_service(templates: dict[str, Any]) -> None:
    through = {"DynamodbKey": "dynamodb", "SnsKey": "sns"}
    for title, service in through.items():
        key = templates["security"]["Resources"][title]["Properties"]["KeyPolicy"]["Statement"]
        for statement in key[1:]:
            if "AWS" in statement["Principal"]:
                condition = statement["Condition"]["StringEquals"]
                assert condition["kms:ViaService"] == {"Fn::Sub": f"{service}.${{AWS::Region}}.${{AWS::URLSuffix}}"}
                assert condition["kms:CallerAccount"] == {"Ref": "AWS::AccountId"}
    for title, policy in resources(templates["security"], "AWS::IAM::ManagedPolicy").items():
        for statement in _statements(policy):
            if any(action.startswith("kms:") for action in statement["Action"]):
                condition = statement["Condition"]["StringEquals"]
                assert {"kms:ViaService", "kms:CallerAccount"} < set(condition), title
                assert any(key.startswith("kms:EncryptionContext:") for key in condition), title


def test_cloudwatch_logs_may_use_its_key_for_our_log_groups_only(templates: dict[str, Any]) -> None:
    statement = templates["security"]["Resources"]["LogsKey"]["Properties"]["KeyPolicy"]["Statement"][1]
    groups = statement["Condition"]["ArnEquals"]["kms:EncryptionContext:aws:logs:arn"]
    ours = {
        g["Properties"]["LogGroupName"]["Fn::Sub"]
        for name in ("compute", "workflow")
        for g in resources(templates[name], "AWS::Logs::LogGroup").values()
    }
    assert {g["Fn::Sub"].split(":log-group:")[1] for g in groups} == ours


def _statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """All that a policy may have: one with a condition has most where that holds."""
    document = policy["Properties"]["PolicyDocument"]
    statements: list[dict[str, Any]] = document.get("Fn::If", [None, document])[1]["Statement"]
    return statements


def _log_group(policy: str) -> str:
    return f"lambda-payment-{policy.removesuffix('Policy').lower()}-${{Environment}}"
