"""What the AWS emulator does not do and no correction adds: scripts/verify skips these checks.

Each entry completes the sentence "the emulator ...". A test fails when a release of MiniStack closes a gap.
"""

# By resource type and property: properties that the emulator does not apply, or does not return.
PROPERTIES = {
    "AWS::DynamoDB::Table.SSESpecification": "does not show the key of a table",
    "AWS::DynamoDB::Table.PointInTimeRecoverySpecification": "does not take point-in-time recovery from a template",
    "AWS::Lambda::Function.KmsKeyArn": "does not show the key of a function's variables",
    "AWS::Logs::LogGroup.DataProtectionPolicy": "has no data protection policies of log groups",
    "AWS::S3::Bucket.BucketEncryption": "does not take the encryption of a bucket from a template",
    "AWS::S3::Bucket.Tags": "does not take the tags of a bucket from a template",
    "AWS::SNS::Topic.KmsMasterKeyId": "does not show the key of a topic",
    "AWS::StepFunctions::StateMachine.LoggingConfiguration": "does not keep the logging of a state machine",
    "AWS::StepFunctions::StateMachine.TracingConfiguration": "does not keep the tracing of a state machine",
}
# By the name of the check.
SERVICES = {
    "workflow log": "writes no log of a Standard workflow",
    "X-Ray traces": "has no X-Ray",
    "rule fired": "counts no invocations of EventBridge rules",
    "undeliverable event": "sends no event of a rule to a dead-letter queue",
}
# By parameter: what `make demo` deploys with other values than the settings.
_DEMO = "has the subscription of `make demo`: a queue that receives its notifications"
SETTINGS = {
    "NotificationProtocol": _DEMO,
    "NotificationEndpoint": _DEMO,
}
# By the command of scripts/deploy.sh.
COMMANDS = {
    "import": "imports nothing into nested stacks",
    "refactor": "has no stack refactors",
}
GAPS = PROPERTIES | SERVICES | SETTINGS | COMMANDS
