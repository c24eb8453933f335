"""The bucket that holds what is deployed. It has to exist before anything can be, so it is a stack of its own."""

from awacs import s3 as s3_actions
from awacs.aws import Bool, Condition, Deny, Principal, Statement
from troposphere import Output, Parameter, Ref, Sub, Tags, Template, s3

from .policies import document

# The account and region make the name unique, and guessable by nobody else's deployment.
BUCKET = "payment-artifacts-${AWS::AccountId}-${AWS::Region}"


def build() -> Template:
    template = Template(Description="Payment platform: where the deployer keeps templates and function packages")
    template.set_version()
    owner = template.add_parameter(
        Parameter("Owner", Type="String", Default="PaymentTeam", Description="The Owner tag of the bucket")
    )
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
                )
            ),
        )
    )
    template.add_output(Output("BucketName", Value=bucket.ref()))
    return template
