"""What is kept and what is said: payments and their ledger, dead letters, notices."""

from dataclasses import dataclass
from typing import Any

from awacs import sns as sns_actions
from awacs import sqs as sqs_actions
from awacs.aws import Allow, ArnEquals, ArnLike, Condition, ConditionElement, Principal, Statement, StringEquals
from troposphere import Equals, Not, Template, dynamodb, sns, sqs

from . import names
from .policies import ACCOUNT, document
from .wiring import Value, tags


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value
    dynamodb_key_arn: Value
    sns_key_id: Value
    workflow_role_arn: Value
    reconciliation_role_arn: Value
    deletion_protection: Value
    notification_protocol: Value
    notification_endpoint: Value


@dataclass(frozen=True, kw_only=True)
class Outputs:
    table_name: Value
    table_arn: Value
    ledger_table_name: Value
    queue_arn: Value
    queue_url: Value
    topic_arn: Value
    topic_name: Value


def build(template: Template, inputs: Inputs) -> Outputs:
    table = template.add_resource(_transactions(inputs))
    ledger = template.add_resource(_ledger(inputs))
    queue = template.add_resource(_dead_letter_queue())
    template.add_resource(_queue_policy(queue))
    topic = template.add_resource(
        sns.Topic("Notifications", TopicName=names.named(names.TOPIC), KmsMasterKeyId=inputs.sns_key_id, Tags=tags())
    )
    template.add_resource(_topic_policy(topic, inputs))
    template.add_condition("HasSubscriber", Not(Equals(inputs.notification_endpoint, "")))
    template.add_resource(
        sns.SubscriptionResource(
            "Subscription",
            Condition="HasSubscriber",
            TopicArn=topic.ref(),
            Protocol=inputs.notification_protocol,
            Endpoint=inputs.notification_endpoint,
        )
    )
    return Outputs(
        table_name=table.ref(),
        table_arn=table.get_att("Arn"),
        ledger_table_name=ledger.ref(),
        queue_arn=queue.get_att("Arn"),
        queue_url=queue.ref(),
        topic_arn=topic.ref(),
        topic_name=topic.get_att("TopicName"),
    )


def _transactions(inputs: Inputs) -> dynamodb.Table:
    """What each payment is now, with an index of the open ones by when they are overdue.

    The index is sparse: only open payments have its key. It is sharded, so that no partition takes all of them.
    """
    return _table(
        "Transactions",
        names.TABLE,
        inputs,
        keys={"transaction_id": "HASH"},
        AttributeDefinitions=[
            dynamodb.AttributeDefinition(AttributeName="transaction_id", AttributeType="S"),
            dynamodb.AttributeDefinition(AttributeName="open_shard", AttributeType="N"),
            dynamodb.AttributeDefinition(AttributeName="overdue_at", AttributeType="N"),
        ],
        GlobalSecondaryIndexes=[
            dynamodb.GlobalSecondaryIndex(
                IndexName=names.OPEN_INDEX,
                KeySchema=[
                    dynamodb.KeySchema(AttributeName="open_shard", KeyType="HASH"),
                    dynamodb.KeySchema(AttributeName="overdue_at", KeyType="RANGE"),
                ],
                Projection=dynamodb.Projection(ProjectionType="KEYS_ONLY"),
            )
        ],
    )


def _ledger(inputs: Inputs) -> dynamodb.Table:
    """Every step of every payment, appended and never changed: the audit record."""
    return _table(
        "PaymentLedger",
        names.LEDGER_TABLE,
        inputs,
        keys={"transaction_id": "HASH", "sequence": "RANGE"},
        AttributeDefinitions=[
            dynamodb.AttributeDefinition(AttributeName="transaction_id", AttributeType="S"),
            dynamodb.AttributeDefinition(AttributeName="sequence", AttributeType="N"),
        ],
    )


def _table(title: str, name: str, inputs: Inputs, keys: dict[str, str], **more: Any) -> dynamodb.Table:
    """On demand, encrypted with the platform's key, restorable to any second of the last 35 days, and kept."""
    return dynamodb.Table(
        title,
        TableName=names.named(name),
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[dynamodb.KeySchema(AttributeName=key, KeyType=kind) for key, kind in keys.items()],
        SSESpecification=dynamodb.SSESpecification(
            SSEEnabled=True, SSEType="KMS", KMSMasterKeyId=inputs.dynamodb_key_arn
        ),
        PointInTimeRecoverySpecification=dynamodb.PointInTimeRecoverySpecification(PointInTimeRecoveryEnabled=True),
        DeletionProtectionEnabled=inputs.deletion_protection,
        Tags=tags(),
        DeletionPolicy="RetainExceptOnCreate",
        UpdateReplacePolicy="Retain",
        **more,
    )


def _dead_letter_queue() -> sqs.Queue:
    return sqs.Queue(
        "DeadLetters",
        QueueName=names.named(names.QUEUE),
        MessageRetentionPeriod=14 * 24 * 60 * 60,
        VisibilityTimeout=60,
        SqsManagedSseEnabled=True,
        Tags=tags(),
        DeletionPolicy="RetainExceptOnCreate",
        UpdateReplacePolicy="Retain",
    )


def _queue_policy(queue: sqs.Queue) -> sqs.QueuePolicy:
    """What EventBridge could not deliver to the reconciliation function is not lost either.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    return sqs.QueuePolicy(
        "DeadLettersPolicy",
        Queues=[queue.ref()],
        PolicyDocument=document(
            Statement(
                Sid="ScheduleDeadLetters",
                Effect=Allow,
                Principal=Principal("Service", "events.amazonaws.com"),
                Action=[sqs_actions.SendMessage],
                Resource=[queue.get_att("Arn")],
                Condition=Condition(
                    [
                        StringEquals({"aws:SourceAccount": ACCOUNT}),
                        ArnEquals({"aws:SourceArn": names.arn("events", f"rule/{names.RECONCILIATION_RULE}")}),
                    ]
                ),
            )
        ),
    )


def _topic_policy(topic: sns.Topic, inputs: Inputs) -> sns.TopicPolicy:
    def publish(sid: str, principal: Principal, *conditions: ConditionElement) -> Statement:
        condition = {"Condition": Condition(list(conditions))} if conditions else {}
        return Statement(
            Sid=sid,
            Effect=Allow,
            Principal=principal,
            Action=[sns_actions.Publish],
            Resource=[topic.ref()],
            **condition,
        )

    return sns.TopicPolicy(
        "NotificationsPolicy",
        Topics=[topic.ref()],
        PolicyDocument=document(
            publish("WorkflowPublishes", Principal("AWS", inputs.workflow_role_arn)),
            publish("ReconciliationPublishes", Principal("AWS", inputs.reconciliation_role_arn)),
            publish(
                "AlarmsPublish",
                Principal("Service", "cloudwatch.amazonaws.com"),
                StringEquals({"aws:SourceAccount": ACCOUNT}),
                ArnLike({"aws:SourceArn": names.arn("cloudwatch", "alarm:*")}),
            ),
        ),
    )
