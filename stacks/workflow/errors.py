"""Every error that AWS documents for a task that calls a function: how the workflow retries it, or why it does not.

Step Functions reports an error of Lambda's ``Invoke`` (https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html)
as ``Lambda.<name>``. Its pages on error handling and best practices name the others, or the function's runtime does:
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html

The functions are idempotent: a retry is safe, whether or not the failed attempt took effect. The only question is
whether the same call can succeed within minutes. The functions use no VPC, file system, SnapStart or durable execution.
The errors of these are listed all the same, so that whoever adds one need not think of the retriers.
"""

# There is no capacity to run the function at the moment. It was not run.
THROTTLED = (
    "Lambda.TooManyRequestsException",
    "Lambda.EC2ThrottledException",
)

# The function exists and cannot run yet. It was not run.
NOT_READY = (
    # A function is Pending after a deployment, and again after weeks without a call, when Lambda has reclaimed its
    # resources: https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
    "Lambda.ResourceConflictException",
    "Lambda.ResourceNotReadyException",
    "Lambda.CodeArtifactUserPendingException",
    "Lambda.CodeArtifactUserDeletedException",
    "Lambda.SnapStartNotReadyException",
    "Lambda.SnapStartRegenerationFailureException",
    "Lambda.ENINotReadyException",
    # Interfaces and addresses that others give back.
    "Lambda.ENILimitReachedException",
    "Lambda.SubnetIPAddressLimitReachedException",
    # A new grant, policy or key state takes up to minutes to reach all of IAM and KMS; and a key that is disabled by
    # mistake is soon enabled again: https://docs.aws.amazon.com/kms/latest/developerguide/using-grant-token.html
    "Lambda.KMSAccessDeniedException",
    "Lambda.KMSDisabledException",
    "Lambda.KMSInvalidStateException",
    "Lambda.EC2AccessDeniedException",
    "States.Permissions",
)

# A disturbance of the service, or on the way to it. Whether the function ran is not known.
TRANSIENT = (
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.EC2UnexpectedException",
    "Lambda.SnapStartTimeoutException",
    "Lambda.EFSIOException",
    "Lambda.EFSMountConnectivityException",
    "Lambda.EFSMountTimeoutException",
    "Lambda.S3FilesMountConnectivityException",
    "Lambda.S3FilesMountTimeoutException",
)

# The function ran out of time or memory, or its process ended. A second crash is likely to be of the code or the input.
CRASHED = (
    "Sandbox.Timedout",
    "Runtime.ExitError",
    # Not on AWS's pages; Step Functions reports it: https://github.com/awslabs/aws-deployment-framework/issues/758
    "Runtime.OutOfMemory",
    "Runtime.LambdaRuntimeClientError",
    "Runtime.AfterRestoreError",
    "Lambda.SnapStartException",
    "Lambda.Unknown",
    "States.Timeout",
)

_CODE = "the deployed code or its configuration is broken, and the next call runs the same"
_CALL = "Lambda refuses the call as it is, and the next one is the same"
_NETWORK = "a wrong network setting: somebody has to change it"
_MOUNT = "a wrong permission or setting of the file system: somebody has to change it"
_SIZE = "the result is as large the next time"
_DEFINITION = "a defect of the state machine's definition, which the next attempt repeats"
_OTHER_STATE = "not an error of a task that calls a function"

NOT_RETRIED = {
    # Time does not bring back a deleted function, and retries would only delay the news.
    "Lambda.ResourceNotFoundException": "the function or its alias does not exist",
    "Lambda.NoPublishedVersionException": "the function has no version: somebody has to deploy one",
    "Lambda.CodeArtifactUserFailedException": "AWS asks to deploy the code again",
    "Lambda.InvalidRuntimeException": _CODE,
    "Lambda.InvalidZipFileException": _CODE,
    "Lambda.KMSNotFoundException": "a deleted key does not come back",
    "Lambda.InvalidSecurityGroupIDException": _NETWORK,
    "Lambda.InvalidSubnetIDException": _NETWORK,
    "Lambda.EFSMountFailureException": _MOUNT,
    "Lambda.S3FilesMountFailureException": _MOUNT,
    "Lambda.InvalidParameterValueException": _CALL,
    "Lambda.InvalidRequestContentException": _CALL,
    "Lambda.UnsupportedMediaTypeException": _CALL,
    "Lambda.RequestTooLargeException": _CALL,
    "Lambda.SerializedRequestEntityTooLargeException": _CALL,
    "Lambda.ModeNotSupportedException": _CALL,
    "Lambda.DurableExecutionAlreadyStartedException": _CALL,
    "Lambda.RecursiveInvocationException": "Lambda has stopped a loop, which a retry would start again",
    "Lambda.ServiceQuotaExceededException": "a person has to have the quota raised; throttling has another error",
    "Runtime.ImportModuleError": _CODE,
    "Runtime.HandlerNotFound": _CODE,
    "Runtime.MalformedHandlerName": _CODE,
    "Runtime.BuiltInModuleConflict": _CODE,
    "Runtime.UserCodeSyntaxError": _CODE,
    "Runtime.InvalidEntrypoint": _CODE,
    "Runtime.NodejsExit": "the functions are written in Python",
    "Runtime.BeforeSnapshotError": "reported when a version is published, not when it is called",
    "Runtime.UnmarshalError": "the runtime cannot read the event, which is the same the next time",
    "Runtime.LambdaContextUnmarshalError": "the runtime cannot read the call's context; the workflow sends none",
    "Runtime.MarshalError": "the function's answer is not JSON, which no retry changes",
    "States.DataLimitExceeded": _SIZE,
    "States.QueryEvaluationError": _DEFINITION,
    "States.Runtime": _DEFINITION,
    "States.IntrinsicFailure": _DEFINITION,
    "States.ParameterPathFailure": _DEFINITION,
    "States.ResultPathMatchFailure": _DEFINITION,
    "States.NoChoiceMatched": _OTHER_STATE,
    "States.BranchFailed": _OTHER_STATE,
    "States.ExceedToleratedFailureThreshold": _OTHER_STATE,
    "States.ItemReaderFailed": _OTHER_STATE,
    "States.ResultWriterFailed": _OTHER_STATE,
    "States.Http.Socket": _OTHER_STATE,
    "States.HeartbeatTimeout": "a function sends no heartbeats",
    "States.TaskFailed": "a wildcard: it would retry what is listed here",
    "States.ALL": "a wildcard: it would retry what is listed here",
}
