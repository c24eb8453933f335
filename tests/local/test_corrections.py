"""Each correction of MiniStack works, and the release still needs it.

A test that fails for RELEASED says that a new release is fixed: delete the correction.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from scripts.deployer.archive import zip_folder
from scripts.local import server
from stacks.compute.runtime import RUNTIME

# Each starts an emulator, and all of them depend on its release, which setup.cfg pins, and on nothing that is deployed.
pytestmark = pytest.mark.nightly

RELEASED = "ministack"
CORRECTED = server.MODULE
# The shortest period of an alarm. The release is given three of them to evaluate its alarms, which it does not do.
PERIOD_SECONDS = 10
LONG_SECONDS = 3 * PERIOD_SECONDS
TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "x.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


Clients = Callable[[str], Any]


@contextmanager
def run_ministack(module: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    """Run a server, corrected or as released, and yield a function that returns a client by service."""
    monkeypatch.setattr(server, "MODULE", module)
    with server.run_server() as running:
        session = boto3.Session(region_name=server.REGION, **server.CREDENTIALS)
        yield lambda service: session.client(service, endpoint_url=running.url)


@pytest.fixture(params=[CORRECTED, RELEASED])
def is_corrected(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == CORRECTED)


@pytest.fixture
def client(is_corrected: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    with run_ministack(CORRECTED if is_corrected else RELEASED, monkeypatch) as client:
        yield client


def create_role(client: Clients, name: str = "r") -> str:
    role = client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    return str(role["Arn"])


def wait_for_stack(cloudformation: Any, name: str) -> str:
    """Return the status of the stack when its operation has ended."""
    for _ in range(100):
        status = str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        if not status.endswith("IN_PROGRESS"):
            return status
        time.sleep(0.1)
    raise AssertionError(status)


def test_a_nested_stack_can_be_updated_when_a_resource_reads_an_attribute(client: Clients, is_corrected: bool) -> None:
    """A nested stack in which one resource reads an attribute of a role, updated once."""
    s3, cloudformation = client("s3"), client("cloudformation")
    s3.create_bucket(Bucket="templates")

    def parent_stack(key: str) -> dict[str, str]:
        role = {"RoleName": "r", "AssumeRolePolicyDocument": TRUST}
        value = {"Fn::Join": [key, ["of ", {"Fn::GetAtt": ["Role", "Arn"]}]]}
        reads = {"Name": "p", "Type": "String", "Value": value}
        nested = {
            "Role": {"Type": "AWS::IAM::Role", "Properties": role},
            "Reads": {"Type": "AWS::SSM::Parameter", "Properties": reads},
        }
        s3.put_object(Bucket="templates", Key=key, Body=json.dumps({"Resources": nested}))
        url = f"{s3.meta.endpoint_url}/templates/{key}"
        child = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
        return {"StackName": "parent", "TemplateBody": json.dumps({"Resources": {"Child": child}})}

    capabilities = ["CAPABILITY_NAMED_IAM"]
    cloudformation.create_stack(**parent_stack("first"), Capabilities=capabilities)
    assert wait_for_stack(cloudformation, "parent") == "CREATE_COMPLETE"
    cloudformation.update_stack(**parent_stack("second"), Capabilities=capabilities)
    assert wait_for_stack(cloudformation, "parent") == ("UPDATE_COMPLETE" if is_corrected else "UPDATE_ROLLBACK_FAILED")


def test_the_workflow_publishes_message_attributes(client: Clients, is_corrected: bool) -> None:
    topic = client("sns").create_topic(Name="t")["TopicArn"]
    queue = client("sqs").create_queue(QueueName="q")["QueueUrl"]
    arn = f"arn:aws:sqs:{server.REGION}:{server.ACCOUNT}:q"
    policy = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}]}
    client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    attributes = {"outcome": {"DataType": "String", "StringValue": "FAILED"}}
    publish = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sns:publish",
        "Arguments": {"TopicArn": topic, "Message": "m", "MessageAttributes": attributes},
        "End": True,
    }
    definition = {"QueryLanguage": "JSONata", "StartAt": "Publish", "States": {"Publish": publish}}
    machine = client("stepfunctions").create_state_machine(
        name="m", definition=json.dumps(definition), roleArn=create_role(client)
    )["stateMachineArn"]
    client("stepfunctions").start_execution(stateMachineArn=machine)
    (message,) = client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    assert set(json.loads(message["Body"]).get("MessageAttributes", {})) == ({"outcome"} if is_corrected else set())


def test_a_function_has_its_dead_letter_queue(client: Clients, is_corrected: bool) -> None:
    target = f"arn:aws:sqs:{server.REGION}:{server.ACCOUNT}:q"
    properties = {
        "FunctionName": "f",
        "Runtime": RUNTIME,
        "Handler": "index.handler",
        "Role": f"arn:aws:iam::{server.ACCOUNT}:role/r",
        "Code": {"ZipFile": "def handler(event, context): pass"},
        "DeadLetterConfig": {"TargetArn": target},
    }
    body = {"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": properties}}}
    client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps(body))
    assert wait_for_stack(client("cloudformation"), "s") == "CREATE_COMPLETE"
    configuration = client("lambda").get_function_configuration(FunctionName="f")
    assert (configuration.get("DeadLetterConfig") == {"TargetArn": target}) is is_corrected


def test_a_custom_runtime_finds_the_layers(client: Clients, is_corrected: bool, tmp_path: Path) -> None:
    """The bootstrap prints a file of the layer and exits, and the error message repeats its output."""
    bootstrap = ("bootstrap", b'#!/bin/sh\ncat "$_LAMBDA_LAYERS_DIRS/python/marked.py"\n', 0o755)
    for name in ("layer/python", "code"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "marked.py").write_text(f"# of the {name}")
    content = {"ZipFile": zip_folder(tmp_path / "layer")}
    layer = client("lambda").publish_layer_version(LayerName="l", Content=content)
    client("lambda").create_function(
        FunctionName="f",
        Runtime="provided.al2023",
        Handler="index.handler",
        Role=create_role(client),
        Code={"ZipFile": zip_folder(tmp_path / "code", (bootstrap,))},
        Layers=[layer["LayerVersionArn"]],
    )
    answer = json.loads(client("lambda").invoke(FunctionName="f")["Payload"].read())
    assert ("of the layer" in answer["errorMessage"]) is is_corrected


def test_a_request_on_loopback_counts_as_tls(client: Clients, is_corrected: bool) -> None:
    over_tls = {"Bool": {"aws:SecureTransport": "true"}}
    statement = {"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*", "Condition": over_tls}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam = client("iam")
    iam.create_user(UserName="u")
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName="u")["AccessKey"]
    user_sqs = boto3.client(
        "sqs",
        endpoint_url=iam.meta.endpoint_url,
        region_name=server.REGION,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    if is_corrected:
        user_sqs.list_queues()
    else:
        with pytest.raises(ClientError, match="AccessDenied"):
            user_sqs.list_queues()


def test_a_role_has_its_permissions_boundary(client: Clients, is_corrected: bool) -> None:
    trusted = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    template = {
        "Resources": {
            "Boundary": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {"PolicyDocument": {"Version": "2012-10-17", "Statement": [allowed]}},
            },
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": "r",
                    "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trusted]},
                    "PermissionsBoundary": {"Ref": "Boundary"},
                },
            },
        }
    }
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName="s", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    assert ("PermissionsBoundary" in client("iam").get_role(RoleName="r")["Role"]) is is_corrected


def test_a_nested_stack_retains_a_table_which_can_then_be_deleted(client: Clients, is_corrected: bool) -> None:
    """The protection of the table is a parameter, which is off."""
    key = {"AttributeName": "k"}
    table = {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "RetainExceptOnCreate",
        "Properties": {
            "TableName": "t",
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [key | {"KeyType": "HASH"}],
            "AttributeDefinitions": [key | {"AttributeType": "S"}],
            "DeletionProtectionEnabled": {"Ref": "Protected"},
        },
    }
    nested = {"Parameters": {"Protected": {"Type": "String"}}, "Resources": {"Table": table}}
    s3, cloudformation, dynamodb = client("s3"), client("cloudformation"), client("dynamodb")
    s3.create_bucket(Bucket="templates")
    s3.put_object(Bucket="templates", Key="nested.json", Body=json.dumps(nested))
    url = f"{s3.meta.endpoint_url}/templates/nested.json"
    stack = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": url, "Parameters": {"Protected": "false"}},
    }
    cloudformation.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": {"Nested": stack}}))
    assert wait_for_stack(cloudformation, "s") == "CREATE_COMPLETE"
    protected = dynamodb.describe_table(TableName="t")["Table"]["DeletionProtectionEnabled"]
    assert (protected is False) is is_corrected
    # The release silently fails to delete a table that it takes for protected.
    dynamodb.update_table(TableName="t", DeletionProtectionEnabled=False)
    cloudformation.delete_stack(StackName="s")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    assert (dynamodb.list_tables()["TableNames"] == ["t"]) is is_corrected


def test_a_stack_is_found_by_the_physical_id_of_a_resource(client: Clients, is_corrected: bool) -> None:
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "t"}}}}
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName="s", TemplateBody=json.dumps(template))
    assert wait_for_stack(cloudformation, "s") == "CREATE_COMPLETE"
    (listed,) = cloudformation.list_stack_resources(StackName="s")["StackResourceSummaries"]

    def find_stacks(physical_id: str) -> set[str]:
        resources = cloudformation.describe_stack_resources(PhysicalResourceId=physical_id)["StackResources"]
        return {resource["StackName"] for resource in resources}

    if is_corrected:
        assert find_stacks(listed["PhysicalResourceId"]) == {"s"}
    else:
        with pytest.raises(ClientError, match="does not exist"):
            find_stacks(listed["PhysicalResourceId"])
    with pytest.raises(ClientError, match="Stack for other does not exist" if is_corrected else "not exist"):
        find_stacks("other")


def test_log_groups_are_listed_by_their_tags(client: Clients, is_corrected: bool) -> None:
    for name, value in (("ours", "dev"), ("theirs", "staging")):
        client("logs").create_log_group(logGroupName=name, tags={"Environment": value})
    listed = client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "Environment", "Values": ["dev"]}])
    arns = [resource["ResourceARN"] for resource in listed["ResourceTagMappingList"]]
    group = f"arn:aws:logs:{server.REGION}:{server.ACCOUNT}:log-group:ours"
    assert arns == ([group] if is_corrected else [])


def test_a_change_set_lists_no_resource_whose_condition_is_false(client: Clients, is_corrected: bool) -> None:
    """The condition of the queue is false, then true, then false again."""
    cloudformation = client("cloudformation")

    def execute_change_set(name: str, kind: str, value: str) -> list[tuple[str, str]]:
        """Return the changes that were listed, each as its action and the resource."""
        cloudformation.create_change_set(
            StackName="s",
            ChangeSetName=name,
            ChangeSetType=kind,
            TemplateBody=json.dumps(template),
            Parameters=[{"ParameterKey": "HasQueue", "ParameterValue": value}],
        )
        cloudformation.get_waiter("change_set_create_complete").wait(StackName="s", ChangeSetName=name)
        listed = cloudformation.describe_change_set(StackName="s", ChangeSetName=name)["Changes"]
        cloudformation.execute_change_set(StackName="s", ChangeSetName=name)
        assert wait_for_stack(cloudformation, "s").endswith("E_COMPLETE")
        changes = [change["ResourceChange"] for change in listed]
        return [(change["Action"], change["LogicalResourceId"]) for change in changes]

    template = {
        "Parameters": {"HasQueue": {"Type": "String"}},
        "Conditions": {"Queued": {"Fn::Equals": [{"Ref": "HasQueue"}, "true"]}},
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Queue": {"Type": "AWS::SQS::Queue", "Condition": "Queued"},
        },
    }
    created = execute_change_set("without", "CREATE", "false")
    assert created == ([("Add", "Topic")] if is_corrected else [("Add", "Queue"), ("Add", "Topic")])
    template["Resources"]["Another"] = {"Type": "AWS::SNS::Topic"}
    added = execute_change_set("with", "UPDATE", "true")
    assert added == ([("Add", "Another"), ("Add", "Queue")] if is_corrected else [("Add", "Another")])
    template["Resources"]["Third"] = {"Type": "AWS::SNS::Topic"}
    removed = execute_change_set("again-without", "UPDATE", "false")
    assert removed == ([("Remove", "Queue"), ("Add", "Third")] if is_corrected else [("Add", "Third")])


def test_a_rule_invokes_a_function_only_with_permission(client: Clients, is_corrected: bool, tmp_path: Path) -> None:
    """Two rules have one function as their target; its policy permits the second one."""
    (tmp_path / "index.py").write_text("def handler(event, context): print('invoked by', event['source'])")
    function = client("lambda").create_function(
        FunctionName="f",
        Runtime=RUNTIME,
        Handler="index.handler",
        Role=create_role(client),
        Code={"ZipFile": zip_folder(tmp_path)},
    )["FunctionArn"]
    events = client("events")
    for name in ("refused", "permitted"):
        rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
        events.put_targets(Rule=name, Targets=[{"Id": "f", "Arn": function}])
    client("lambda").add_permission(
        FunctionName="f",
        StatementId="s",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
    for name in ("refused", "permitted"):
        events.put_events(Entries=[{"Source": name, "DetailType": "d", "Detail": "{}"}])
    expected = {"permitted"} if is_corrected else {"refused", "permitted"}
    assert wait_for_sources(client("logs"), len(expected)) == expected


def wait_for_sources(logs: Any, count: int) -> set[str]:
    """Return the sources that invoked the function, as soon as there are ``count`` of them."""
    for _ in range(200):
        groups = logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/f")["logGroups"]
        lines = [
            event["message"]
            for group in groups
            for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
        ]
        sources = {line.split()[-1] for line in lines if line.startswith("invoked by")}
        if len(sources) >= count:
            return sources
        time.sleep(0.1)
    raise AssertionError(lines)


def run_machine(client: Clients, state: dict[str, Any], **later_states: Any) -> Any:
    """Run states in JSONata, the first of which is ``state``, and return the description of the ended execution."""
    stepfunctions = client("stepfunctions")
    definition = {"QueryLanguage": "JSONata", "StartAt": "First", "States": {"First": state} | later_states}
    machine = stepfunctions.create_state_machine(
        name="m", roleArn=create_role(client, "machine"), definition=json.dumps(definition)
    )["stateMachineArn"]
    arn = stepfunctions.start_execution(stateMachineArn=machine)["executionArn"]
    for _ in range(100):
        execution = stepfunctions.describe_execution(executionArn=arn)
        if execution["status"] != "RUNNING":
            return execution
        time.sleep(0.1)
    raise AssertionError("the execution does not end")


def create_function(client: Clients, folder: Path, code: str, **properties: Any) -> None:
    (folder / "index.py").write_text(code)
    client("lambda").create_function(
        FunctionName="f",
        Runtime=RUNTIME,
        Handler="index.handler",
        Role=create_role(client),
        Code={"ZipFile": zip_folder(folder)},
        **properties,
    )


def test_an_execution_that_failed_has_no_output(client: Clients, is_corrected: bool) -> None:
    execution = run_machine(client, {"Type": "Fail", "Error": "Declined", "Cause": "no funds"})
    assert (execution["status"], execution["error"], execution["cause"]) == ("FAILED", "Declined", "no funds")
    assert ("output" in execution) is not is_corrected


def test_the_context_object_has_role_and_redrives_but_no_retries_of_a_pass_state(
    client: Clients, is_corrected: bool
) -> None:
    state = {"Type": "Pass", "Output": "{% $states.context %}", "End": True}
    context = json.loads(run_machine(client, state)["output"])
    assert ({"RoleArn", "RedriveCount"} <= set(context["Execution"])) is is_corrected
    assert ("RetryCount" in context["State"]) is not is_corrected


def test_a_task_that_is_over_its_time_has_no_cause(client: Clients, is_corrected: bool, tmp_path: Path) -> None:
    create_function(client, tmp_path, "import time\ndef handler(event, context): time.sleep(5)", Timeout=10)
    catcher = {"ErrorEquals": ["States.Timeout"], "Output": "{% $states.errorOutput %}", "Next": "Caught"}
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": "f", "Payload": {}},
        "TimeoutSeconds": 1,
        "Catch": [catcher],
        "End": True,
    }
    failure = json.loads(run_machine(client, task, Caught={"Type": "Succeed"})["output"])
    assert failure["Error"] == "States.Timeout"
    assert (failure["Cause"] == "") is is_corrected


def test_express_executions_share_a_name_and_have_their_history_in_the_log(client: Clients, is_corrected: bool) -> None:
    stepfunctions, logs = client("stepfunctions"), client("logs")
    logs.create_log_group(logGroupName="history")
    group = {"logGroupArn": f"arn:aws:logs:{server.REGION}:{server.ACCOUNT}:log-group:history:*"}
    machine = stepfunctions.create_state_machine(
        name="m",
        type="EXPRESS",
        roleArn=create_role(client, "machine"),
        definition=json.dumps({"StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}),
        loggingConfiguration={"level": "ALL", "destinations": [{"cloudWatchLogsLogGroup": group}]},
    )["stateMachineArn"]
    start = {"stateMachineArn": machine, "name": "n", "input": '{"card": 1}'}
    arn = stepfunctions.start_execution(**start)["executionArn"]
    assert (":express:m:n:" in arn) is is_corrected
    if not is_corrected:
        with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
            stepfunctions.start_execution(**start)
        stepfunctions.describe_execution(executionArn=arn)
        stepfunctions.list_executions(stateMachineArn=machine)
        assert logs.filter_log_events(logGroupName="history")["events"] == []
        return
    assert stepfunctions.start_execution(**start)["executionArn"] != arn
    for name in ("describe_execution", "get_execution_history", "stop_execution"):
        with pytest.raises(ClientError, match="InvalidArn"):
            getattr(stepfunctions, name)(executionArn=arn)
    with pytest.raises(ClientError, match="StateMachineTypeNotSupported"):
        stepfunctions.list_executions(stateMachineArn=machine)
    events: list[dict[str, Any]] = []
    for _ in range(100):
        lines = logs.filter_log_events(logGroupName="history")["events"]
        events = [event for line in lines if (event := json.loads(line["message"]))["execution_arn"] == arn]
        if events and events[-1]["type"] == "ExecutionSucceeded":
            break
        time.sleep(0.1)
    kinds = ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"]
    assert [event["type"] for event in events] == kinds
    # Without includeExecutionData.
    assert "card" not in json.dumps(events)


def test_the_dead_letter_of_a_function_is_its_event(client: Clients, is_corrected: bool, tmp_path: Path) -> None:
    """A destination still gets a record of the failure."""
    sqs, lambda_ = client("sqs"), client("lambda")
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("letters", "records")}
    letters, records = (f"arn:aws:sqs:{server.REGION}:{server.ACCOUNT}:{name}" for name in urls)
    create_function(
        client, tmp_path, "def handler(event, context): raise ValueError('no')", DeadLetterConfig={"TargetArn": letters}
    )
    for destination, url in (({}, urls["letters"]), ({"OnFailure": {"Destination": records}}, urls["records"])):
        lambda_.put_function_event_invoke_config(
            FunctionName="f", MaximumRetryAttempts=0, DestinationConfig=destination
        )
        lambda_.invoke(FunctionName="f", InvocationType="Event", Payload=b'{"order": 1}')
        (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10, MessageAttributeNames=["All"])["Messages"]
        is_letter = is_corrected and url == urls["letters"]
        assert (json.loads(message["Body"]) == {"order": 1}) is is_letter
        attributes = message.get("MessageAttributes", {})
        assert (set(attributes) == {"ErrorCode", "ErrorMessage", "RequestID"}) is is_letter


def test_metrics_and_alarms_follow_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """One server shows all of them, because the release has to be given time to show none."""
    expected = {"a filtered line", "an embedded metric", "an execution", "a queue", "silence", "other dimensions"}
    assert _observe_effects(CORRECTED, monkeypatch, enough=len(expected)) == expected
    assert _observe_effects(RELEASED, monkeypatch, enough=1) == set()


def _observe_effects(module: str, monkeypatch: pytest.MonkeyPatch, enough: int) -> set[str]:
    """Return which effects are seen as on AWS, as soon as there are ``enough`` of them or the time is over."""
    with run_ministack(module, monkeypatch) as client:
        logs, cloudwatch, stepfunctions = client("logs"), client("cloudwatch"), client("stepfunctions")
        _put_alarm(cloudwatch, "silence", "Beats", "LessThanThreshold", TreatMissingData="breaching")
        _put_alarm(cloudwatch, "other", "Payments", "GreaterThanThreshold", Dimensions=[{"Name": "Of", "Value": "bad"}])
        good = {"MetricName": "Payments", "Dimensions": [{"Name": "Of", "Value": "good"}], "Value": 9}
        cloudwatch.put_metric_data(Namespace="N", MetricData=[good])

        logs.create_log_group(logGroupName="g")
        logs.create_log_stream(logGroupName="g", logStreamName="s")
        transformation = {"metricName": "Filtered", "metricNamespace": "N", "metricValue": "1"}
        logs.put_metric_filter(
            logGroupName="g",
            filterName="f",
            filterPattern='{ $.message = "x" }',
            metricTransformations=[transformation],
        )
        directive = {"Namespace": "N", "Dimensions": [["A"]], "Metrics": [{"Name": "Embedded"}]}
        embedded = {"_aws": {"CloudWatchMetrics": [directive]}, "A": "a", "Embedded": 1}
        timestamp = int(time.time() * 1000)
        events = [{"timestamp": timestamp, "message": json.dumps(fields)} for fields in ({"message": "x"}, embedded)]
        logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=events)

        machine = stepfunctions.create_state_machine(
            name="m",
            roleArn=create_role(client),
            definition=json.dumps({"StartAt": "S", "States": {"S": {"Type": "Succeed"}}}),
        )["stateMachineArn"]
        stepfunctions.start_execution(stateMachineArn=machine)
        client("sqs").create_queue(QueueName="q")

        effects = {
            "Filtered": "a filtered line",
            "Embedded": "an embedded metric",
            "ExecutionsSucceeded": "an execution",
            "ApproximateNumberOfMessagesVisible": "a queue",
        }
        observed: set[str] = set()
        deadline = time.monotonic() + LONG_SECONDS
        while len(observed) < enough and time.monotonic() < deadline:
            names = {metric["MetricName"] for metric in cloudwatch.list_metrics()["Metrics"]}
            states = {alarm["AlarmName"]: alarm["StateValue"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]}
            observed = {effect for name, effect in effects.items() if name in names}
            observed |= {"silence"} if states["silence"] == "ALARM" else set()
            observed |= {"other dimensions"} if states["other"] == "OK" else set()
            time.sleep(0.1)
        return observed


def _put_alarm(cloudwatch: Any, name: str, metric: str, comparison: str, **options: Any) -> None:
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace="N",
        MetricName=metric,
        ComparisonOperator=comparison,
        Threshold=1,
        Statistic="Sum",
        Period=PERIOD_SECONDS,
        EvaluationPeriods=1,
        **{"TreatMissingData": "notBreaching", **options},
    )


def test_a_rule_starts_a_state_machine_only_with_a_role_that_may(client: Clients, is_corrected: bool) -> None:
    """Each rule has a role of its own, or none: one may start the machine, one may not, one trusts another rule."""
    stepfunctions, events, iam = client("stepfunctions"), client("events"), client("iam")
    definition = {"StartAt": "Only", "States": {"Only": {"Type": "Succeed"}}}
    machine = stepfunctions.create_state_machine(
        name="m", roleArn=create_role(client, "machine"), definition=json.dumps(definition)
    )["stateMachineArn"]
    start = {"Statement": [{"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine}]}
    for name in ("without", "powerless", "foreign", "permitted"):
        rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
        target = {"Id": "m", "Arn": machine}
        if name != "without":
            source = rule.replace("foreign", "other")
            condition = {"ArnEquals": {"aws:SourceArn": source}}
            statement = TRUST["Statement"][0] | {"Principal": {"Service": "events.amazonaws.com"}}
            trust = {"Statement": [statement | {"Condition": condition}]}
            role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
            target["RoleArn"] = role
        if name in ("foreign", "permitted"):
            iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(start))
        events.put_targets(Rule=name, Targets=[target])
    for name in ("without", "powerless", "foreign", "permitted"):
        events.put_events(Entries=[{"Source": name, "DetailType": "d", "Detail": "{}"}])
    expected = 1 if is_corrected else 4
    for _ in range(100):
        executions = stepfunctions.list_executions(stateMachineArn=machine)["executions"]
        if len(executions) >= expected:
            break
        time.sleep(0.1)
    sources = {
        json.loads(stepfunctions.describe_execution(executionArn=execution["executionArn"])["input"])["source"]
        for execution in executions
    }
    assert sources == ({"permitted"} if is_corrected else {"without", "powerless", "foreign", "permitted"})
