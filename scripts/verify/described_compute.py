"""What AWS says of what runs: functions with their versions and aliases, the state machine, and the schedule."""

import json
import re
from collections.abc import Callable
from typing import Any

from .expected import Expected
from .results import Unknown

Clients = Callable[[str], Any]


def function(client: Clients, resource: Expected) -> dict[str, Any]:
    described = client("lambda").get_function(FunctionName=resource.physical_id)
    configuration = described["Configuration"]
    names = ("Runtime", "Handler", "Role", "MemorySize", "Timeout", "DeadLetterConfig", "Environment", "LoggingConfig")
    tags = described.get("Tags", {})
    # https://docs.aws.amazon.com/lambda/latest/api/API_EnvironmentError.html
    if error := configuration.get("Environment", {}).get("Error"):
        raise Unknown(f"{resource.name}: its variables cannot be read: {error.get('Message', error.get('ErrorCode'))}")
    return {name: configuration.get(name) for name in (*names, "TracingConfig")} | {
        "KmsKeyArn": configuration.get("KMSKeyArn"),
        "ReservedConcurrentExecutions": described.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def version(client: Clients, resource: Expected) -> dict[str, Any]:
    configuration = client("lambda").get_function_configuration(FunctionName=resource.physical_id)
    return {"Description": configuration["Description"]}


def alias(client: Clients, resource: Expected) -> dict[str, Any]:
    properties = resource.properties
    described = client("lambda").get_alias(FunctionName=properties["FunctionName"], Name=properties["Name"])
    return {
        "FunctionVersion": described["FunctionVersion"],
        # A template of ours sends no part of the calls to another version.
        "RoutingConfig": described.get("RoutingConfig", {}).get("AdditionalVersionWeights"),
    }


def state_machine(client: Clients, resource: Expected) -> dict[str, Any]:
    stepfunctions = client("stepfunctions")
    described = stepfunctions.describe_state_machine(stateMachineArn=resource.physical_id)
    encryption = described.get("encryptionConfiguration", {})
    substitutions = resource.properties.get("DefinitionSubstitutions", {})
    definition = json.dumps(resource.properties.get("Definition"))
    definition = re.sub(r"\$\{(\w+)\}", lambda match: str(substitutions.get(match[1], match[0])), definition)
    tags = stepfunctions.list_tags_for_resource(resourceArn=resource.physical_id)["tags"]
    return {
        "RoleArn": described["roleArn"],
        "StateMachineType": described["type"],
        # Whether it is the template's, with the ARNs filled in: the difference would be too long to read.
        "Definition": resource.properties.get("Definition")
        if json.loads(definition) == json.loads(described["definition"])
        else "another one than in the template",
        "EncryptionConfiguration": {
            "Type": encryption.get("type", "AWS_OWNED_KEY"),
            "KmsKeyId": encryption.get("kmsKeyId"),
            "KmsDataKeyReusePeriodSeconds": encryption.get("kmsDataKeyReusePeriodSeconds"),
        },
        "LoggingConfiguration": _logging(described.get("loggingConfiguration", {})),
        "TracingConfiguration": {"Enabled": described.get("tracingConfiguration", {}).get("enabled", False)},
        "Tags": [{"Key": tag["key"], "Value": tag["value"]} for tag in tags],
    }


def _logging(configuration: dict[str, Any]) -> dict[str, Any]:
    groups = [destination.get("cloudWatchLogsLogGroup", {}) for destination in configuration.get("destinations", [])]
    return {
        "Level": configuration.get("level", "OFF"),
        "IncludeExecutionData": configuration.get("includeExecutionData", False),
        "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": group.get("logGroupArn")}} for group in groups],
    }


def rule(client: Clients, resource: Expected) -> dict[str, Any]:
    events, name = client("events"), resource.physical_id
    described = events.describe_rule(Name=name)
    targets = events.list_targets_by_rule(Rule=name)["Targets"]
    return {
        "ScheduleExpression": described.get("ScheduleExpression"),
        "Targets": targets,
        "State": described["State"],
        "Tags": events.list_tags_for_resource(ResourceARN=described["Arn"])["Tags"],
    }
