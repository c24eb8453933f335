"""Describes functions, versions, aliases and how they change, state machines, and the schedule as AWS has them."""

import json
import re
from typing import Any

from scripts.common.clients import ClientFactory, LoggingConfigurationOutputTypeDef

from .expected import Expected
from .results import Unknown


def describe_function(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    function = client("lambda").get_function(FunctionName=resource.physical_id)
    configuration = function["Configuration"]
    names = ("Runtime", "Handler", "Role", "MemorySize", "Timeout", "DeadLetterConfig", "Environment", "LoggingConfig")
    # https://docs.aws.amazon.com/lambda/latest/api/API_EnvironmentError.html
    if error := configuration.get("Environment", {}).get("Error"):
        raise Unknown(f"{resource.name}: its variables cannot be read: {error.get('Message', error.get('ErrorCode'))}")
    return {name: configuration.get(name) for name in (*names, "TracingConfig")} | {
        "KmsKeyArn": configuration.get("KMSKeyArn"),
        "ReservedConcurrentExecutions": function.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
        "Tags": function.get("Tags", {}),
    }


def describe_version(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    configuration = client("lambda").get_function_configuration(FunctionName=resource.physical_id)
    return {"Description": configuration["Description"]}


def describe_alias(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    properties = resource.properties
    alias = client("lambda").get_alias(FunctionName=properties["FunctionName"], Name=properties["Name"])
    return {
        "FunctionVersion": alias["FunctionVersion"],
        # The templates send no share of the calls to another version.
        "RoutingConfig": alias.get("RoutingConfig", {}).get("AdditionalVersionWeights"),
    }


def describe_application(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    application = client("codedeploy").get_application(applicationName=resource.physical_id)["application"]
    return {"ComputePlatform": application.get("computePlatform")}


def describe_deployment_group(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    properties = resource.properties
    group = client("codedeploy").get_deployment_group(
        applicationName=properties["ApplicationName"], deploymentGroupName=properties["DeploymentGroupName"]
    )["deploymentGroupInfo"]
    alarms, rollback = group.get("alarmConfiguration", {}), group.get("autoRollbackConfiguration", {})
    style = group.get("deploymentStyle", {})
    return {
        "ServiceRoleArn": group.get("serviceRoleArn"),
        "DeploymentConfigName": group.get("deploymentConfigName"),
        "DeploymentStyle": {
            "DeploymentType": style.get("deploymentType"),
            "DeploymentOption": style.get("deploymentOption"),
        },
        "AutoRollbackConfiguration": {"Enabled": rollback.get("enabled"), "Events": rollback.get("events")},
        "AlarmConfiguration": {
            "Enabled": alarms.get("enabled"),
            "IgnorePollAlarmFailure": alarms.get("ignorePollAlarmFailure"),
            "Alarms": [{"Name": alarm.get("name")} for alarm in alarms.get("alarms", [])],
        },
    }


def describe_state_machine(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    stepfunctions = client("stepfunctions")
    machine = stepfunctions.describe_state_machine(stateMachineArn=resource.physical_id)
    encryption = machine.get("encryptionConfiguration", {})
    substitutions = resource.properties.get("DefinitionSubstitutions", {})
    definition = json.dumps(resource.properties.get("Definition"))
    definition = re.sub(r"\$\{(\w+)\}", lambda match: str(substitutions.get(match[1], match[0])), definition)
    tags = stepfunctions.list_tags_for_resource(resourceArn=resource.physical_id)["tags"]
    return {
        "RoleArn": machine["roleArn"],
        "StateMachineType": machine["type"],
        # A definition is too long to show the difference.
        "Definition": resource.properties.get("Definition")
        if json.loads(definition) == json.loads(machine["definition"])
        else "another one than in the template",
        "EncryptionConfiguration": {
            "Type": encryption.get("type", "AWS_OWNED_KEY"),
            "KmsKeyId": encryption.get("kmsKeyId"),
            "KmsDataKeyReusePeriodSeconds": encryption.get("kmsDataKeyReusePeriodSeconds"),
        },
        "LoggingConfiguration": _describe_logging(machine.get("loggingConfiguration", {})),
        "TracingConfiguration": {"Enabled": machine.get("tracingConfiguration", {}).get("enabled", False)},
        "Tags": tags,
    }


def _describe_logging(configuration: LoggingConfigurationOutputTypeDef) -> dict[str, Any]:
    groups = [destination.get("cloudWatchLogsLogGroup", {}) for destination in configuration.get("destinations", [])]
    return {
        "Level": configuration.get("level", "OFF"),
        "IncludeExecutionData": configuration.get("includeExecutionData", False),
        "Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": group.get("logGroupArn")}} for group in groups],
    }


def describe_rule(client: ClientFactory, resource: Expected) -> dict[str, Any]:
    events, name = client("events"), resource.physical_id
    rule = events.describe_rule(Name=name)
    pages = events.get_paginator("list_targets_by_rule").paginate(Rule=name)
    return {
        "ScheduleExpression": rule.get("ScheduleExpression"),
        "Targets": [target for page in pages for target in page["Targets"]],
        "State": rule["State"],
        "Tags": events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"],
    }
