"""What has to exist before anything can be deployed, so it is a stack of its own: the bucket of what is deployed.

Beside it, where an account wants them, the roles that deploy (deployers.py).
"""

from awacs import s3 as s3_actions
from awacs.aws import Bool, Condition, Deny, Null, Principal, Statement
from troposphere import Output, Parameter, Ref, Sub, Tags, Template, s3

from . import deployers
from .policies import document
from .settings import Bootstrap, all_settings

# The account and region make the name unique, and guessable by nobody else's deployment.
BUCKET = "payment-artifacts-${AWS::AccountId}-${AWS::Region}"
# For so long what the deployer has deleted can be had back.
KEPT_DAYS = 30


def build() -> Template:
    template = Template(Description="Payment platform: where the deployer keeps templates and function packages")
    template.set_version()
    owner = template.add_parameter(
        Parameter("Owner", Type="String", Default="PaymentTeam", Description="The Owner tag of the bucket")
    )
    for setting in all_settings(Bootstrap):
        template.add_parameter(setting.parameter())
    bucket = template.add_resource(
        s3.Bucket(
            "Artifacts",
            BucketName=Sub(BUCKET),
            BucketEncryption=s3.BucketEncryption(
                ServerSideEncryptionConfiguration=[
                    s3.ServerSideEncryptionRule(
                        ServerSideEncryptionByDefault=s3.ServerSideEncryptionByDefault(SSEAlgorithm="AES256")
                    )
                ]
            ),
            OwnershipControls=s3.OwnershipControls(
                Rules=[s3.OwnershipControlsRule(ObjectOwnership="BucketOwnerEnforced")]
            ),
            PublicAccessBlockConfiguration=s3.PublicAccessBlockConfiguration(
                BlockPublicAcls=True, BlockPublicPolicy=True, IgnorePublicAcls=True, RestrictPublicBuckets=True
            ),
            VersioningConfiguration=s3.VersioningConfiguration(Status="Enabled"),
            LifecycleConfiguration=s3.LifecycleConfiguration(
                Rules=[
                    s3.LifecycleRule(
                        # The deployer deletes what is needed no more; the days count from then on.
                        Id="WhatWasDeletedExpires",
                        Status="Enabled",
                        NoncurrentVersionExpiration=s3.NoncurrentVersionExpiration(NoncurrentDays=KEPT_DAYS),
                        AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(DaysAfterInitiation=1),
                    ),
                    s3.LifecycleRule(Id="MarkersOfWhatHasExpiredGo", Status="Enabled", ExpiredObjectDeleteMarker=True),
                ]
            ),
            Tags=Tags(Owner=Ref(owner), CostCenter="Engineering"),
            DeletionPolicy="RetainExceptOnCreate",
            UpdateReplacePolicy="Retain",
        )
    )
    template.add_resource(
        s3.BucketPolicy(
            "ArtifactsPolicy",
            Bucket=bucket.ref(),
            PolicyDocument=document(
                Statement(
                    Sid="OnlyOverTLS",
                    Effect=Deny,
                    Principal=Principal("*"),
                    Action=[s3_actions.Action("*")],
                    Resource=[bucket.get_att("Arn"), Sub("${Artifacts.Arn}/*")],
                    Condition=Condition([Bool({"aws:SecureTransport": "false"})]),
                ),
                # A key names its content: whoever may write cannot replace what a deployment will read.
                # https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
                Statement(
                    Sid="NobodyOverwrites",
                    Effect=Deny,
                    Principal=Principal("*"),
                    Action=[s3_actions.PutObject],
                    Resource=[Sub("${Artifacts.Arn}/payment-platform/*")],
                    Condition=Condition([Null({"s3:if-none-match": "true"})]),
                ),
            ),
        )
    )
    template.add_output(Output("BucketName", Value=bucket.ref()))
    deployers.add(template, bucket.get_att("Arn"))
    return template
