"""Every error that AWS documents for a task that invokes a function: how the workflow retries it, or why it does not.

Step Functions reports an error of Lambda's ``Invoke`` (https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html)
as ``Lambda.<name>``. Its pages on error handling and best practices, or the function's runtime, name the others:
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html

The functions are idempotent: a retry is safe, whether or not the failed attempt took effect. The only question is
whether the same call can succeed within minutes. The functions use no VPC, file system, SnapStart or durable execution.
Their errors are listed all the same, so that adding one of these features requires no change to the retriers.
"""

# Lambda has no capacity for the function at the moment, and did not run it.
THROTTLED = (
    "Lambda.TooManyRequestsException",
    "Lambda.EC2ThrottledException",
)

# The function exists but is not ready, and Lambda did not run it.
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
    # Other functions release network interfaces and addresses.
    "Lambda.ENILimitReachedException",
    "Lambda.SubnetIPAddressLimitReachedException",
    # A new grant, policy or key state takes up to minutes to propagate, and somebody may soon enable a key that was
    # disabled by mistake: https://docs.aws.amazon.com/kms/latest/developerguide/using-grant-token.html
    "Lambda.KMSAccessDeniedException",
    "Lambda.KMSDisabledException",
    "Lambda.KMSInvalidStateException",
    "Lambda.EC2AccessDeniedException",
    "States.Permissions",
)

# The service or the connection to it failed. Whether the function ran is unknown.
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

# The function ran out of time or memory, or its process ended. If it crashes twice, code or input is the likely cause.
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

# The reasons not to retry an error, each with its errors.
_REASONS = {
    # A retry does not bring back a deleted function, and would only delay the failure notice.
    "the function or its alias does not exist": "Lambda.ResourceNotFoundException",
    "the function has no version: somebody has to deploy one": "Lambda.NoPublishedVersionException",
    "AWS asks to deploy the code again": "Lambda.CodeArtifactUserFailedException",
    "the deployed code or its configuration is broken, and the next call runs the same": (
        "Lambda.InvalidRuntimeException Lambda.InvalidZipFileException Runtime.ImportModuleError "
        "Runtime.HandlerNotFound Runtime.MalformedHandlerName Runtime.BuiltInModuleConflict "
        "Runtime.UserCodeSyntaxError Runtime.InvalidEntrypoint"
    ),
    "a deleted key does not come back": "Lambda.KMSNotFoundException",
    "a wrong network setting: somebody has to change it": (
        "Lambda.InvalidSecurityGroupIDException Lambda.InvalidSubnetIDException"
    ),
    "a wrong permission or setting of the file system: somebody has to change it": (
        "Lambda.EFSMountFailureException Lambda.S3FilesMountFailureException"
    ),
    "Lambda refuses the call as it is, and the next one is the same": (
        "Lambda.InvalidParameterValueException Lambda.InvalidRequestContentException "
        "Lambda.UnsupportedMediaTypeException Lambda.RequestTooLargeException "
        "Lambda.SerializedRequestEntityTooLargeException Lambda.ModeNotSupportedException "
        "Lambda.DurableExecutionAlreadyStartedException"
    ),
    "Lambda has stopped a loop, which a retry would start again": "Lambda.RecursiveInvocationException",
    "a person has to have the quota raised; throttling has another error": "Lambda.ServiceQuotaExceededException",
    "the functions are written in Python": "Runtime.NodejsExit",
    "reported when a version is published, not when it is called": "Runtime.BeforeSnapshotError",
    "the runtime cannot read the event, which is the same the next time": "Runtime.UnmarshalError",
    "the runtime cannot read the call's context; the workflow sends none": "Runtime.LambdaContextUnmarshalError",
    "the function's answer is not JSON, which no retry changes": "Runtime.MarshalError",
    "the result is as large the next time": "States.DataLimitExceeded",
    "a defect of the state machine's definition, which the next attempt repeats": (
        "States.QueryEvaluationError States.Runtime States.IntrinsicFailure States.ParameterPathFailure "
        "States.ResultPathMatchFailure"
    ),
    "not an error of a task that calls a function": (
        "States.NoChoiceMatched States.BranchFailed States.ExceedToleratedFailureThreshold States.ItemReaderFailed "
        "States.ResultWriterFailed States.Http.Socket"
    ),
    "a function sends no heartbeats": "States.HeartbeatTimeout",
    "a wildcard: it would retry what is listed here": "States.TaskFailed States.ALL",
}
NOT_RETRIED = {error: reason for reason, errors in _REASONS.items() for error in errors.split()}
