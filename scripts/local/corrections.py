"""Corrections of MiniStack 1.5.33, applied in its process.

Each docstring says what AWS does, with the page, and what MiniStack does instead. Each correction has a test in
tests/local/test_corrections.py that fails as soon as a release no longer needs it.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy, pin_request_origin
from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudformation, dynamodb, eventbridge, iam, lambda_svc, stepfunctions
from ministack.services.cloudformation import changesets, engine, handlers, helpers, provisioners, stacks

from . import cloudwatch_corrections, workflow_corrections


def apply_corrections() -> None:
    """Apply every correction. Call this before the server starts."""
    treat_loopback_as_tls()
    keep_attributes_of_updated_resources()
    publish_message_attributes()
    keep_dead_letter_config()
    give_layers_to_custom_runtimes()
    require_permission_of_rules()
    require_roles_of_rules()
    keep_permissions_boundaries()
    convert_deletion_protection()
    retain_resources_of_nested_stacks()
    find_stacks_by_resource()
    list_only_resources_that_exist()
    workflow_corrections.apply_corrections()
    cloudwatch_corrections.apply_corrections()


def treat_loopback_as_tls() -> None:
    """On AWS ``aws:SecureTransport`` is true for every request that uses TLS, and the platform refuses all others.

    MiniStack answers over HTTP and sets the key to false. Its requests do not leave the machine, so they count as TLS.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    app.pin_request_origin = lambda source_ip, _: pin_request_origin(source_ip, True)


def keep_attributes_of_updated_resources() -> None:
    """On AWS ``Fn::GetAtt`` returns every attribute of a resource that a nested stack updates.

    MiniStack replaces the attributes by the few that its update handler returns, where the top-level path merges them,
    and the update fails with "Requested attribute Arn does not exist in schema".
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-getatt.html
    """
    attributes_by_resource: dict[tuple[str, str], dict[str, Any]] = {}

    def merge_attributes(handler: Callable[..., tuple[str, dict[str, Any]]]) -> Callable[..., Any]:
        def handle(resource_type: str, *arguments: Any, **options: Any) -> tuple[str, dict[str, Any]]:
            physical_id, returned = handler(resource_type, *arguments, **options)
            attributes = attributes_by_resource.setdefault((resource_type, physical_id), {})
            attributes.update(returned or {})
            return physical_id, dict(attributes)

        return handle

    provision = merge_attributes(provisioners._provision_resource)
    update = merge_attributes(provisioners._update_resource)
    for module in (provisioners, stacks):
        module._provision_resource, module._update_resource = provision, update


def publish_message_attributes() -> None:
    """On AWS the ``sns:publish`` integration of Step Functions passes ``MessageAttributes`` on.

    MiniStack hands the arguments to a parser of the query protocol, which finds no attributes in them, so a subscriber
    cannot filter by outcome.
    https://docs.aws.amazon.com/step-functions/latest/dg/connect-sns.html
    """
    name = "arn:aws:states:::sns:publish"
    publish = stepfunctions._SERVICE_DISPATCH[name]

    def publish_with_attributes(resource: str, arguments: dict[str, Any]) -> Any:
        flat = dict(arguments)
        for index, (key, attribute) in enumerate((flat.pop("MessageAttributes", None) or {}).items(), 1):
            prefix = f"MessageAttributes.entry.{index}"
            flat[f"{prefix}.Name"] = key
            flat |= {f"{prefix}.Value.{part}": value for part, value in attribute.items()}
        return publish(resource, flat)

    stepfunctions._SERVICE_DISPATCH[name] = publish_with_attributes


def keep_dead_letter_config() -> None:
    """On AWS a function that CloudFormation creates has the ``DeadLetterConfig`` of its template.

    MiniStack leaves it out, and a failed asynchronous invocation is lost.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-deadletterconfig.html
    """

    def set_dead_letter_config(name: str, properties: dict[str, Any]) -> None:
        if "DeadLetterConfig" in properties:
            lambda_svc._functions[name]["config"]["DeadLetterConfig"] = dict(properties["DeadLetterConfig"])

    _after_provisioning("AWS::Lambda::Function", set_dead_letter_config)


def give_layers_to_custom_runtimes() -> None:
    """On AWS the layers of a function are extracted into ``/opt``, whatever its runtime.

    MiniStack extracts them for its own runtimes only, and names the folders in a variable because it cannot write to
    ``/opt``. Custom runtimes get the same variable.
    https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
    """
    environment = lambda_svc._provided_worker_env

    def add_layers(config: dict[str, Any], code_folder: str, port: int) -> dict[str, str]:
        layers = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers") or []]
        folders = [lambda_svc._docker_extracted_dir(layer, "layer") for layer in layers if layer]
        variables: dict[str, str] = environment(config, code_folder, port)
        return variables | {"_LAMBDA_LAYERS_DIRS": os.pathsep.join(folders)}

    lambda_svc._provided_worker_env = add_layers


def require_permission_of_rules() -> None:
    """On AWS an EventBridge rule invokes a function only if the function's policy permits it.

    MiniStack does not read the policy, so a schedule without its permission works.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
    """

    def is_permitted(target: dict[str, Any], rule: dict[str, Any]) -> bool:
        arn = target["Arn"]
        function, _, _ = lambda_svc._get_base_func_record_for_ref(arn)
        context = EvalContext(
            principal_arn="*",
            principal_type="Service",
            principal_account="",
            action="lambda:InvokeFunction",
            resource_arn=arn,
            region=get_region(),
            service_context={"aws:sourcearn": rule["Arn"], "aws:sourceaccount": get_account_id()},
        )
        policy = (function or {}).get("policy")
        return bool(evaluate_resource_policy(policy, context, service="events.amazonaws.com").decision == "Allow")

    _guard_targets("lambda", is_permitted)


def require_roles_of_rules() -> None:
    """On AWS an EventBridge rule starts a state machine with the role of its target, which must be allowed to.

    MiniStack starts it whether or not the target has a role, and whatever the role may do.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-iam-roles.html
    """

    def is_permitted(target: dict[str, Any], rule: dict[str, Any]) -> bool:
        role = target.get("RoleArn", "")
        name, account = role.rsplit("/", 1)[-1], get_account_id()
        record = iam._roles.get_scoped(account, None, name)
        if record is None:
            return False
        service_context = {"aws:sourcearn": rule["Arn"], "aws:sourceaccount": account}
        assume = EvalContext(
            principal_arn="",
            principal_type="Service",
            principal_account="",
            action="sts:AssumeRole",
            resource_arn=role,
            region=get_region(),
            service_context=service_context,
        )
        start = replace(
            assume,
            principal_arn=role,
            principal_type="AssumedRole",
            principal_account=account,
            action="states:StartExecution",
            resource_arn=target["Arn"],
            service_context={},
        )
        trust = evaluate_resource_policy(record["AssumeRolePolicyDocument"], assume, service="events.amazonaws.com")
        limits = iam_evaluator._permissions_boundary(iam._roles, name, account)
        rights = iam_evaluator.evaluate(start, iam_evaluator._gather_role_policies(name, account), *limits)
        return {trust.decision, rights.decision} == {"Allow"}

    _guard_targets("states", is_permitted)


def _guard_targets(service: str, is_permitted: Callable[[dict[str, Any], dict[str, Any]], bool]) -> None:
    """Let rules reach only those targets of the service that they may, given the target and the rule."""
    invoke = eventbridge._invoke_target

    def invoke_if_permitted(
        target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None
    ) -> None:
        if f":{service}:" in target["Arn"] and not is_permitted(target, rule):
            eventbridge.logger.warning("%s may not reach %s", rule["Arn"], target["Arn"])
            return
        invoke(target, event, rule, view)

    eventbridge._invoke_target = invoke_if_permitted


def keep_permissions_boundaries() -> None:
    """On AWS a role that CloudFormation creates has the permissions boundary of its template.

    MiniStack leaves it out, and the role can do more than on AWS.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
    """

    def set_boundary(name: str, properties: dict[str, Any]) -> None:
        iam._roles[name]["PermissionsBoundary"] = properties.get("PermissionsBoundary")

    _after_provisioning("AWS::IAM::Role", set_boundary)


def convert_deletion_protection() -> None:
    """On AWS ``DeletionProtectionEnabled`` of a table is a boolean, also where a parameter gives it as text.

    MiniStack keeps the text, and ``"false"`` counts as true: no stack can roll the table back, nobody can delete it.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
    """

    def set_protection(name: str, properties: dict[str, Any]) -> None:
        is_protected = str(properties.get("DeletionProtectionEnabled", False)).lower() == "true"
        dynamodb._tables[name]["DeletionProtectionEnabled"] = is_protected

    _after_provisioning("AWS::DynamoDB::Table", set_protection)


def retain_resources_of_nested_stacks() -> None:
    """On AWS the deletion of a stack honours the deletion policies of its nested stacks.

    MiniStack honours those of the root stack only, and deletes the tables. The rollback of a creation still deletes
    everything that it created.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
    """
    stack_handlers = provisioners._RESOURCE_HANDLERS["AWS::CloudFormation::Stack"]
    delete = stack_handlers["delete"]

    def delete_unretained(physical_id: str, properties: dict[str, Any]) -> None:
        name = provisioners._nested_stack_lookup_name(physical_id)
        nested = cloudformation._stacks.get(name, {})
        is_deletion = any(stack.get("StackStatus") == "DELETE_IN_PROGRESS" for stack in cloudformation._stacks.values())
        resources = nested.get("_resources", {})
        declared = nested.get("_template", {}).get("Resources", {})
        for logical_id, resource in list(resources.items()) if is_deletion else ():
            if str(declared.get(logical_id, {}).get("DeletionPolicy")).startswith("Retain"):
                del resources[logical_id]
                kind, physical = resource["ResourceType"], resource["PhysicalResourceId"]
                stacks._add_event(nested["StackId"], name, logical_id, kind, "DELETE_SKIPPED", physical_id=physical)
        delete(physical_id, properties)

    stack_handlers["delete"] = delete_unretained


def find_stacks_by_resource() -> None:
    """On AWS ``DescribeStackResources`` finds a stack by the physical id of a resource. MiniStack takes a name only.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResources.html
    """
    describe_by_name = handlers._ACTION_HANDLERS["DescribeStackResources"]

    def describe_stack_resources(parameters: dict[str, Any]) -> Any:
        physical_id = helpers._p(parameters, "PhysicalResourceId")
        if not physical_id:
            return describe_by_name(parameters)
        for stack in cloudformation._stacks.values():
            resources = stack.get("_resources", {}).values()
            if any(resource.get("PhysicalResourceId") == physical_id for resource in resources):
                return describe_by_name({**parameters, "StackName": [stack["StackId"]]})
        return helpers._error("ValidationError", f"Stack for {physical_id} does not exist")

    handlers._ACTION_HANDLERS["DescribeStackResources"] = describe_stack_resources


def list_only_resources_that_exist() -> None:
    """On AWS a resource whose condition is false is ignored, so a change set does not list it.

    If the condition becomes false, the change set removes the resource. MiniStack compares the resources of both
    templates whatever their conditions are, and lists an addition that it does not carry out.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/conditions-section-structure.html
    """
    resolve = changesets._resolve_props_for_diff

    def resolve_existing(template: dict[str, Any], parameters: dict[str, Any], *names: str) -> dict[str, Any]:
        resolved: dict[str, Any] = resolve(template, parameters, *names)
        is_met = engine._evaluate_conditions(template, parameters)
        resources = resolved.get("Resources", {})
        existing = {
            title: resource for title, resource in resources.items() if is_met.get(resource.get("Condition"), True)
        }
        return resolved | {"Resources": existing}

    changesets._resolve_props_for_diff = resolve_existing


def _after_provisioning(resource_type: str, amend: Callable[[str, dict[str, Any]], None]) -> None:
    """Call ``amend`` with physical id and properties of each resource that is created or updated."""
    resource_handlers = provisioners._RESOURCE_HANDLERS[resource_type]
    create, update = resource_handlers["create"], resource_handlers["update"]

    def create_and_amend(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        resource = create(logical_id, properties, stack_name)
        amend(resource[0], properties)
        return resource

    def update_and_amend(
        physical_id: str, before: dict[str, Any], properties: dict[str, Any], stack_name: str, logical_id: Any = None
    ) -> Any:
        resource = update(physical_id, before, properties, stack_name, logical_id)
        amend(resource[0], properties)
        return resource

    resource_handlers |= {"create": create_and_amend, "update": update_and_amend}
