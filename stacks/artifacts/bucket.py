"""The bucket of templates and packages, and the bucket of its access logs."""

from typing import Any

from awacs.aws import ArnEquals, Condition, Deny, Null, Principal, Statement, StringEquals
from troposphere import Ref, Sub, Tags, Template, s3

from ..policies import ACCOUNT, allow, list_actions, only_over_tls, policy_document
from ..suppressions import in_packs, suppress
from ..wiring import RETAINED

# The account and region make the name unique.
BUCKET = "payment-artifacts-${AWS::AccountId}-${AWS::Region}"
ACCESS_LOGS_BUCKET = "payment-artifacts-logs-${AWS::AccountId}-${AWS::Region}"
# The days during which an object that the deployer deleted can be restored.
KEPT_DAYS = 30
# The templates of a plan are read only while its change set is created.
PLANNED_DAYS = 7
# The retention of access logs.
LOGGED_DAYS = 365


def add_buckets(template: Template) -> s3.Bucket:
    """Add both buckets and their policies, and return the bucket of artifacts.

    The template needs the parameter ``Owner``.
    """
    access_logs = _add_access_logs(template)
    bucket = _add_bucket(
        template,
        "Artifacts",
        BUCKET,
        # The account's AWS managed key: its policy allows everyone who may use the bucket.
        s3.ServerSideEncryptionRule(
            ServerSideEncryptionByDefault=s3.ServerSideEncryptionByDefault(SSEAlgorithm="aws:kms"),
            BucketKeyEnabled=True,
        ),
        # The days count from the deletion by the deployer.
        _lifecycle_rule("WhatWasDeletedExpires", **_expire_replaced(KEPT_DAYS)),
        _lifecycle_rule("PlansExpire", Prefix="payment-plans/", ExpirationInDays=PLANNED_DAYS),
        _lifecycle_rule("MarkersOfWhatHasExpiredGo", ExpiredObjectDeleteMarker=True),
        LoggingConfiguration=s3.LoggingConfiguration(
            DestinationBucketName=access_logs.ref(), LogFilePrefix="artifacts/"
        ),
    )
    _add_bucket_policy(
        template,
        bucket,
        # A key names its content: nobody who may write can replace what a deployment will read.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
        Statement(
            Sid="NobodyOverwrites",
            Effect=Deny,
            Principal=Principal("*"),
            Action=list_actions("s3:PutObject"),
            Resource=[Sub("${Artifacts.Arn}/payment-platform/*"), Sub("${Artifacts.Arn}/payment-plans/*")],
            Condition=Condition([Null({"s3:if-none-match": "true"})]),
        ),
    )
    suppress(
        bucket,
        "Every object can be rebuilt from the repository with one command; replication would protect nothing",
        nag=in_packs("S3BucketReplicationEnabled"),
    )
    suppress(
        bucket,
        "The bucket policy prevents overwrites, deleted versions stay for 30 days, and what is unused must go",
        guard=("s3_bucket_object_lock_enabled_check",),
    )
    return bucket


def _add_access_logs(template: Template) -> s3.Bucket:
    """Add the bucket that receives the access logs of the bucket of artifacts."""
    bucket = _add_bucket(
        template,
        "AccessLogs",
        ACCESS_LOGS_BUCKET,
        # S3 delivers access logs only under this kind of encryption:
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
        s3.ServerSideEncryptionRule(
            ServerSideEncryptionByDefault=s3.ServerSideEncryptionByDefault(SSEAlgorithm="AES256")
        ),
        _lifecycle_rule("LogsExpire", ExpirationInDays=LOGGED_DAYS, **_expire_replaced(1)),
    )
    suppress(
        bucket,
        "A bucket of access logs that logs its own access grows by its own logs",
        checkov=("CKV_AWS_18",),
        guard=("s3_bucket_logging_enabled_check",),
    )
    suppress(
        bucket,
        "S3 writes access logs only to a bucket under its own kind of encryption and without object lock",
        nag=in_packs("S3DefaultEncryptionKMS"),
        guard=("s3_bucket_default_encryption_kms_check", "s3_bucket_object_lock_enabled_check"),
    )
    suppress(
        bucket, "Access logs of reproducible artifacts need no replica", nag=in_packs("S3BucketReplicationEnabled")
    )
    _add_bucket_policy(
        template,
        bucket,
        allow(
            "S3WritesLogsOfTheArtifacts",
            "s3:PutObject",
            [Sub("${AccessLogs.Arn}/artifacts/*")],
            StringEquals({"aws:SourceAccount": ACCOUNT}),
            ArnEquals({"aws:SourceArn": Sub(f"arn:${{AWS::Partition}}:s3:::{BUCKET}")}),
            principal=Principal("Service", "logging.s3.amazonaws.com"),
        ),
    )
    return bucket


def _add_bucket(
    template: Template,
    title: str,
    name: str,
    encryption: s3.ServerSideEncryptionRule,
    *lifecycle: s3.LifecycleRule,
    **properties: Any,
) -> s3.Bucket:
    """Add a versioned bucket without public access or ACLs, which sends its events to EventBridge."""
    bucket: s3.Bucket = template.add_resource(
        s3.Bucket(
            title,
            BucketName=Sub(name),
            BucketEncryption=s3.BucketEncryption(ServerSideEncryptionConfiguration=[encryption]),
            **properties,
            OwnershipControls=s3.OwnershipControls(
                Rules=[s3.OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]
            ),
            PublicAccessBlockConfiguration=s3.PublicAccessBlockConfiguration(
                BlockPublicAcls=True, BlockPublicPolicy=True, IgnorePublicAcls=True, RestrictPublicBuckets=True
            ),
            VersioningConfiguration=s3.VersioningConfiguration(Status="Enabled"),
            NotificationConfiguration=s3.NotificationConfiguration(
                EventBridgeConfiguration=s3.EventBridgeConfiguration(EventBridgeEnabled=True)
            ),
            LifecycleConfiguration=s3.LifecycleConfiguration(Rules=list(lifecycle)),
            Tags=Tags(Owner=Ref("Owner"), CostCenter="Engineering"),
            **RETAINED,
        )
    )
    return bucket


def _lifecycle_rule(rule_id: str, **properties: Any) -> s3.LifecycleRule:
    return s3.LifecycleRule(Id=rule_id, Status="Enabled", **properties)


def _expire_replaced(days: int) -> dict[str, Any]:
    """Return the properties of a rule that removes old versions after ``days``, and incomplete uploads after one."""
    return {
        "NoncurrentVersionExpiration": s3.NoncurrentVersionExpiration(NoncurrentDays=days),
        "AbortIncompleteMultipartUpload": s3.AbortIncompleteMultipartUpload(DaysAfterInitiation=1),
    }


def _add_bucket_policy(template: Template, bucket: s3.Bucket, statement: Statement) -> None:
    """Add a policy that requires TLS and has one more statement."""
    tls = only_over_tls("s3:*", bucket.get_att("Arn"), Sub(f"${{{bucket.title}.Arn}}/*"))
    template.add_resource(
        s3.BucketPolicy(f"{bucket.title}Policy", Bucket=bucket.ref(), PolicyDocument=policy_document(tls, statement))
    )
