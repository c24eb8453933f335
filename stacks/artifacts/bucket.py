"""The bucket of templates and packages, and the bucket of its access logs."""

from typing import Any

from awacs import s3 as s3_actions
from awacs.aws import ArnEquals, Condition, Deny, Null, Principal, Statement, StringEquals
from troposphere import Ref, Sub, Tags, Template, s3

from ..policies import ACCOUNT, allow_principal, only_over_tls, policy_document
from ..suppressions import in_packs, suppress

# The account and region make the name unique.
BUCKET = "payment-artifacts-${AWS::AccountId}-${AWS::Region}"
ACCESS_LOGS_BUCKET = "payment-artifacts-logs-${AWS::AccountId}-${AWS::Region}"
# How long objects that the deployer deleted can be restored.
KEPT_DAYS = 30
# The templates of a plan are read only while its change set is created.
PLANNED_DAYS = 7
# The retention of access logs.
LOGGED_DAYS = 365


def add_buckets(template: Template) -> s3.Bucket:
    """Add both buckets, with their policies, to a template with the parameter Owner. Returns that of the artifacts."""
    access_logs = _add_access_logs(template)
    bucket: s3.Bucket = template.add_resource(
        s3.Bucket(
            "Artifacts",
            BucketName=Sub(BUCKET),
            BucketEncryption=s3.BucketEncryption(
                ServerSideEncryptionConfiguration=[
                    s3.ServerSideEncryptionRule(
                        # The account's AWS managed key: its policy allows everyone who may use the bucket.
                        ServerSideEncryptionByDefault=s3.ServerSideEncryptionByDefault(SSEAlgorithm="aws:kms"),
                        BucketKeyEnabled=True,
                    )
                ]
            ),
            LoggingConfiguration=s3.LoggingConfiguration(
                DestinationBucketName=access_logs.ref(), LogFilePrefix="artifacts/"
            ),
            **_shared_bucket_properties(),
            LifecycleConfiguration=s3.LifecycleConfiguration(
                Rules=[
                    s3.LifecycleRule(
                        # The days count from the deletion by the deployer.
                        Id="WhatWasDeletedExpires",
                        Status="Enabled",
                        NoncurrentVersionExpiration=s3.NoncurrentVersionExpiration(NoncurrentDays=KEPT_DAYS),
                        AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(DaysAfterInitiation=1),
                    ),
                    s3.LifecycleRule(
                        Id="PlansExpire", Status="Enabled", Prefix="payment-plans/", ExpirationInDays=PLANNED_DAYS
                    ),
                    s3.LifecycleRule(Id="MarkersOfWhatHasExpiredGo", Status="Enabled", ExpiredObjectDeleteMarker=True),
                ]
            ),
            Tags=Tags(Owner=Ref("Owner"), CostCenter="Engineering"),
            DeletionPolicy="RetainExceptOnCreate",
            UpdateReplacePolicy="Retain",
        )
    )
    template.add_resource(
        s3.BucketPolicy(
            "ArtifactsPolicy",
            Bucket=bucket.ref(),
            PolicyDocument=policy_document(
                only_over_tls(s3_actions.Action("*"), bucket.get_att("Arn"), Sub("${Artifacts.Arn}/*")),
                # A key names its content: whoever may write cannot replace what a deployment will read.
                # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
                Statement(
                    Sid="NobodyOverwrites",
                    Effect=Deny,
                    Principal=Principal("*"),
                    Action=[s3_actions.PutObject],
                    Resource=[Sub("${Artifacts.Arn}/payment-platform/*"), Sub("${Artifacts.Arn}/payment-plans/*")],
                    Condition=Condition([Null({"s3:if-none-match": "true"})]),
                ),
            ),
        )
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
    """Add the bucket that receives the access logs of the artifacts."""
    bucket: s3.Bucket = template.add_resource(
        s3.Bucket(
            "AccessLogs",
            BucketName=Sub(ACCESS_LOGS_BUCKET),
            # S3 writes its logs under no other kind of encryption:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
            BucketEncryption=s3.BucketEncryption(
                ServerSideEncryptionConfiguration=[
                    s3.ServerSideEncryptionRule(
                        ServerSideEncryptionByDefault=s3.ServerSideEncryptionByDefault(SSEAlgorithm="AES256")
                    )
                ]
            ),
            **_shared_bucket_properties(),
            LifecycleConfiguration=s3.LifecycleConfiguration(
                Rules=[
                    s3.LifecycleRule(
                        Id="LogsExpire",
                        Status="Enabled",
                        ExpirationInDays=LOGGED_DAYS,
                        NoncurrentVersionExpiration=s3.NoncurrentVersionExpiration(NoncurrentDays=1),
                        AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(DaysAfterInitiation=1),
                    ),
                ]
            ),
            Tags=Tags(Owner=Ref("Owner"), CostCenter="Engineering"),
            DeletionPolicy="RetainExceptOnCreate",
            UpdateReplacePolicy="Retain",
        )
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
    template.add_resource(
        s3.BucketPolicy(
            "AccessLogsPolicy",
            Bucket=bucket.ref(),
            PolicyDocument=policy_document(
                only_over_tls(s3_actions.Action("*"), bucket.get_att("Arn"), Sub("${AccessLogs.Arn}/*")),
                allow_principal(
                    "S3WritesLogsOfTheArtifacts",
                    Principal("Service", "logging.s3.amazonaws.com"),
                    [s3_actions.PutObject],
                    [Sub("${AccessLogs.Arn}/artifacts/*")],
                    StringEquals({"aws:SourceAccount": ACCOUNT}),
                    ArnEquals({"aws:SourceArn": Sub(f"arn:${{AWS::Partition}}:s3:::{BUCKET}")}),
                ),
            ),
        )
    )
    return bucket


def _shared_bucket_properties() -> dict[str, Any]:
    """Properties of both buckets: no public access or ACLs, versioning, and events for EventBridge."""
    return {
        "OwnershipControls": s3.OwnershipControls(
            Rules=[s3.OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]
        ),
        "PublicAccessBlockConfiguration": s3.PublicAccessBlockConfiguration(
            BlockPublicAcls=True, BlockPublicPolicy=True, IgnorePublicAcls=True, RestrictPublicBuckets=True
        ),
        "VersioningConfiguration": s3.VersioningConfiguration(Status="Enabled"),
        "NotificationConfiguration": s3.NotificationConfiguration(
            EventBridgeConfiguration=s3.EventBridgeConfiguration(EventBridgeEnabled=True)
        ),
    }
