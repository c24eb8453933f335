"""The data stack: the tables and their backups, the dead-letter queues, and the topic of the notices."""

from dataclasses import dataclass
from typing import Any

from awacs.aws import ArnEquals, ArnLike, Principal, StringEquals
from troposphere import AWSHelperFn, Equals, Not, Template, dynamodb, sns, sqs

from .. import names, references
from ..policies import ACCOUNT, allow, only_over_tls, policy_document
from ..settings import DEAD_LETTER_DAYS, Settings
from ..suppressions import suppress
from ..wiring import ENVIRONMENT, RETAINED, Value, platform_tags
from . import backups


@dataclass(frozen=True, kw_only=True)
class Inputs:
    environment: Value = ENVIRONMENT
    dynamodb_key_arn: Value
    sns_key_id: Value
    queue_key_arn: Value
    backup_role_arn: Value
    backup_retention_days: Value = Settings.backup_retention_days.ref
    deletion_protection: Value = Settings.deletion_protection.ref
    notification_protocol: Value = Settings.notification_protocol.ref
    notification_endpoint: Value = Settings.notification_endpoint.ref


@dataclass(frozen=True, kw_only=True)
class Outputs:
    table_name: Value
    table_arn: Value
    ledger_table_name: Value
    queue_arn: Value
    queue_url: Value
    queue_name: Value
    topic_arn: Value
    topic_name: Value
    notification_queue_name: Value


def build(template: Template, inputs: Inputs) -> Outputs:
    table = template.add_resource(_transactions_table(inputs))
    ledger = template.add_resource(_ledger_table(inputs))
    backups.add_backups(
        template, inputs.backup_role_arn, inputs.dynamodb_key_arn, inputs.backup_retention_days, table, ledger
    )
    queue = template.add_resource(_dead_letter_queue("DeadLetters", names.QUEUE, inputs))
    template.add_resource(
        _queue_policy(
            "DeadLettersPolicy", queue, "events", references.RECONCILIATION_RULE_ARN, sid="ScheduleDeadLetters"
        )
    )
    topic = template.add_resource(
        sns.Topic(
            "Notifications",
            TopicName=references.in_template(names.TOPIC),
            KmsMasterKeyId=inputs.sns_key_id,
            Tags=platform_tags(),
        )
    )
    template.add_resource(_topic_policy(topic))
    undelivered = template.add_resource(_dead_letter_queue("UndeliveredNotices", names.NOTIFICATION_QUEUE, inputs))
    policy = template.add_resource(
        _queue_policy("UndeliveredNoticesPolicy", undelivered, "sns", topic.ref(), sid="UndeliveredNotices")
    )
    template.add_condition("HasSubscriber", Not(Equals(inputs.notification_endpoint, "")))
    template.add_resource(
        sns.SubscriptionResource(
            "Subscription",
            Condition="HasSubscriber",
            TopicArn=topic.ref(),
            Protocol=inputs.notification_protocol,
            Endpoint=inputs.notification_endpoint,
            RedrivePolicy={"deadLetterTargetArn": undelivered.get_att("Arn")},
            # SNS must have access to the queue before a delivery can fail.
            DependsOn=[policy.title],
        )
    )
    return Outputs(
        table_name=table.ref(),
        table_arn=table.get_att("Arn"),
        ledger_table_name=ledger.ref(),
        queue_arn=queue.get_att("Arn"),
        queue_url=queue.ref(),
        queue_name=queue.get_att("QueueName"),
        topic_arn=topic.ref(),
        topic_name=topic.get_att("TopicName"),
        notification_queue_name=undelivered.get_att("QueueName"),
    )


def _transactions_table(inputs: Inputs) -> dynamodb.Table:
    """Return the table of the payments' current state, with an index of the open payments by due time.

    The index is sparse, because only open payments have its key, and sharded, to spread the load over partitions.
    """
    return _encrypted_table(
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


def _ledger_table(inputs: Inputs) -> dynamodb.Table:
    """Return the table of the audit trail: every step of every payment, appended and never changed."""
    return _encrypted_table(
        "PaymentLedger",
        names.LEDGER_TABLE,
        inputs,
        keys={"transaction_id": "HASH", "sequence": "RANGE"},
        AttributeDefinitions=[
            dynamodb.AttributeDefinition(AttributeName="transaction_id", AttributeType="S"),
            dynamodb.AttributeDefinition(AttributeName="sequence", AttributeType="N"),
        ],
    )


def _encrypted_table(title: str, name: str, inputs: Inputs, keys: dict[str, str], **properties: Any) -> dynamodb.Table:
    """Return a retained on-demand table, encrypted with the platform's key, with point-in-time recovery (35 days)."""
    return dynamodb.Table(
        title,
        TableName=references.in_template(name),
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[dynamodb.KeySchema(AttributeName=key, KeyType=kind) for key, kind in keys.items()],
        SSESpecification=dynamodb.SSESpecification(
            SSEEnabled=True, SSEType="KMS", KMSMasterKeyId=inputs.dynamodb_key_arn
        ),
        PointInTimeRecoverySpecification=dynamodb.PointInTimeRecoverySpecification(PointInTimeRecoveryEnabled=True),
        DeletionProtectionEnabled=inputs.deletion_protection,
        Tags=platform_tags(),
        **RETAINED,
        **properties,
    )


def _dead_letter_queue(title: str, name: str, inputs: Inputs) -> sqs.Queue:
    queue = sqs.Queue(
        title,
        QueueName=references.in_template(name),
        MessageRetentionPeriod=DEAD_LETTER_DAYS * 24 * 60 * 60,
        VisibilityTimeout=60,
        KmsMasterKeyId=inputs.queue_key_arn,
        # SQS enables its own encryption by default, and does not accept both.
        SqsManagedSseEnabled=False,
        Tags=platform_tags(),
        **RETAINED,
    )
    suppress(
        queue,
        "It is the dead-letter queue: nothing takes from it by itself, so nothing can fail there",
        nag=("AwsSolutions-SQS3",),
        guard=("sqs_dlq_check",),
    )
    return queue


def _queue_policy(title: str, queue: sqs.Queue, service: str, source_arn: AWSHelperFn, *, sid: str) -> sqs.QueuePolicy:
    """Allow a service to send undeliverable messages, on behalf of one source in this account.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    https://docs.aws.amazon.com/sns/latest/dg/sns-configure-dead-letter-queue.html
    """
    return sqs.QueuePolicy(
        title,
        Queues=[queue.ref()],
        PolicyDocument=policy_document(
            allow(
                sid,
                "sqs:SendMessage",
                [queue.get_att("Arn")],
                StringEquals({"aws:SourceAccount": ACCOUNT}),
                ArnEquals({"aws:SourceArn": source_arn}),
                principal=Principal("Service", f"{service}.amazonaws.com"),
            ),
            only_over_tls("sqs:*", queue.get_att("Arn")),
        ),
    )


def _topic_policy(topic: sns.Topic) -> sns.TopicPolicy:
    """Allow the alarms to publish. The roles of this account are allowed to by their own policies only.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
    """
    return sns.TopicPolicy(
        "NotificationsPolicy",
        Topics=[topic.ref()],
        PolicyDocument=policy_document(
            allow(
                "AlarmsPublish",
                "sns:Publish",
                [topic.ref()],
                StringEquals({"aws:SourceAccount": ACCOUNT}),
                ArnLike({"aws:SourceArn": references.arn("cloudwatch", "alarm:*")}),
                principal=Principal("Service", "cloudwatch.amazonaws.com"),
            ),
            # SNS rejects a topic policy with a wildcard action.
            only_over_tls("sns:Publish", topic.ref()),
        ),
    )
