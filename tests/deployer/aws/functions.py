"""Lambda: functions with code, versions and an alias each, which CloudFormation deploys and the API changes.

- CloudFormation compares templates: it updates what their properties change, and nothing else.
- Lambda publishes no version that equals the last one in code and configuration:
  https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
  CloudFormation's resource for it then fails, as users report:
  https://github.com/serverless/serverless/issues/7822
- While the code of a function is updated, another update is a conflict:
  https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
- An alias points to a version that exists, or to $LATEST: https://docs.aws.amazon.com/lambda/latest/api/API_UpdateAlias.html
"""

import base64
import copy
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.deployer.aws.holdings import Refused, resolve_parameters
from tests.deployer.aws.settings import ACCOUNT, REGION
from tests.deployer.aws.stacks import Stack

FUNCTION, VERSION, ALIAS = "AWS::Lambda::Function", "AWS::Lambda::Version", "AWS::Lambda::Alias"
OPERATIONS = {"GetAlias", "UpdateAlias", "GetFunctionConfiguration", "UpdateFunctionCode"}
LATEST = "$LATEST"


@dataclass
class Function:
    # The SHA-256 of the code of $LATEST in base64, and a text that differs with the configuration.
    code: str = ""
    configuration: str = ""
    # Code and configuration of each version by its number.
    versions: dict[str, tuple[str, str]] = field(default_factory=dict)
    last_version: int = 0
    aliases: dict[str, str] = field(default_factory=dict)
    # The reads until an update of the code is complete, and why it then fails.
    pending: int = 0
    failure: str = ""
    # What the stack has deployed: the location of the code, the version's description and number, the alias's number.
    location: dict[str, str] = field(default_factory=dict)
    description: str = ""
    stack_version: str = ""
    alias_version: str = ""

    def publish_version(self) -> str:
        """Raise ``Refused`` for a version that equals the last one."""
        last = str(self.last_version)
        if self.versions.get(last) == (self.code, self.configuration):
            raise Refused("AlreadyExists", f"A version for this Lambda function exists ( {last} ).")
        self.last_version += 1
        self.versions[str(self.last_version)] = (self.code, self.configuration)
        return str(self.last_version)


def _name_revision(function: Function) -> str:
    return f"revision of {function.code}"


def _name_alias_revision(function: Function, alias: str) -> str:
    return f"revision at {function.aliases[alias]}"


def _check_revision(request: dict[str, Any], current: str) -> None:
    """https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionCode.html#lambda-UpdateFunctionCode-request-RevisionId"""
    if request.get("RevisionId", current) != current:
        raise Refused("PreconditionFailedException", "The Revision Id provided does not match the latest one.", 412)


@dataclass
class Functions:
    """The functions by name. A test sets ``slow``, the reads until an update is complete, and ``fails``, its error."""

    objects: dict[str, str]
    functions: dict[str, Function] = field(default_factory=dict)
    slow: int = 1
    fails: str = ""

    def find_refusals(self, root: Stack) -> dict[str, str]:
        """Return why a deployment fails, by the path of the resource."""
        return copy.deepcopy(self).deploy_stacks(root)

    def deploy_stacks(self, root: Stack) -> dict[str, str]:
        """Deploy the functions of a tree, and return the reason of each refused version by its path."""
        refusals = {}
        for path, stack in root.walk():
            resources = stack.resources
            for kind, deploy in (
                (FUNCTION, self._deploy_function),
                (VERSION, self._deploy_version),
                (ALIAS, self._deploy_alias),
            ):
                for logical_id, resource in resources.items():
                    if resource["Type"] != kind:
                        continue
                    try:
                        deploy(stack, resource.get("Properties", {}))
                    except Refused as refused:
                        refusals[f"{path}/{logical_id}".lstrip("/")] = str(refused)
        return refusals

    def identify_resource(self, stack: Stack, logical_id: str) -> str:
        """Return the ARN of a version or an alias; empty for any other resource."""
        resource = stack.resources[logical_id]
        function = self._find_of_stack(stack, resource)
        if resource["Type"] not in (VERSION, ALIAS) or function is None:
            return ""
        name = self._name_function(stack, resource["Properties"])
        qualifier = function.stack_version if resource["Type"] == VERSION else resource["Properties"]["Name"]
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}:{qualifier}"

    def _find_of_stack(self, stack: Stack, resource: dict[str, Any]) -> Function | None:
        return self.functions.get(self._name_function(stack, resource.get("Properties", {})))

    def _name_function(self, stack: Stack, properties: dict[str, Any]) -> str:
        """Return the name of a function, or of that which a version or an alias refers to."""
        name = properties.get("FunctionName", "")
        if isinstance(name, dict) and name.get("Ref") in stack.resources:
            name = stack.resources[name["Ref"]].get("Properties", {}).get("FunctionName", "")
        return str(resolve_parameters(name, stack.parameters))

    def _deploy_function(self, stack: Stack, properties: dict[str, Any]) -> None:
        function = self.functions.setdefault(self._name_function(stack, properties), Function())
        location = properties.get("Code", {})
        if location != function.location:
            function.code, function.location = self._digest_object(location), location
        # Neither is part of a version.
        configured = {name: value for name, value in properties.items() if name not in ("Code", "Tags")}
        function.configuration = json.dumps([configured, stack.parameters], sort_keys=True, default=str)

    def _digest_object(self, location: dict[str, str]) -> str:
        content = self.objects.get(f"{location.get('S3Bucket')}/{location.get('S3Key')}")
        return compute_digest((content if content is not None else json.dumps(location)).encode("latin-1"))

    def _deploy_version(self, stack: Stack, properties: dict[str, Any]) -> None:
        function = self.functions.get(self._name_function(stack, properties))
        description = json.dumps([properties.get("Description"), stack.parameters], sort_keys=True)
        if function is None or description == function.description:
            return
        replaced, function.stack_version = function.stack_version, function.publish_version()
        function.versions.pop(replaced, None)
        function.description = description

    def _deploy_alias(self, stack: Stack, properties: dict[str, Any]) -> None:
        function = self.functions.get(self._name_function(stack, properties))
        if function is None:
            return
        # CloudFormation changes the alias only if the template's value changes: the version that the stack holds.
        if function.stack_version != function.alias_version:
            function.aliases[properties["Name"]] = function.alias_version = function.stack_version

    def answer_request(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        function = self.functions.get(request["name"])
        if function is None:
            raise Refused("ResourceNotFoundException", f"Function not found: {request['name']}", 404)
        if operation in ("GetAlias", "UpdateAlias"):
            return self._answer_alias(function, operation, request)
        if operation == "GetFunctionConfiguration":
            return self._describe_function(function, request)
        return self._update_code(function, request)

    def _answer_alias(self, function: Function, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        alias = request["alias"]
        if alias not in function.aliases:
            raise Refused("ResourceNotFoundException", f"Cannot find alias {alias}", 404)
        if operation == "UpdateAlias":
            version = request["FunctionVersion"]
            if version not in (*function.versions, LATEST):
                raise Refused("ResourceNotFoundException", f"Function not found: {request['name']}:{version}", 404)
            _check_revision(request, _name_alias_revision(function, alias))
            function.aliases[alias] = version
        revision = _name_alias_revision(function, alias)
        return {"Name": alias, "FunctionVersion": function.aliases[alias], "RevisionId": revision}

    def _describe_function(self, function: Function, request: dict[str, Any]) -> dict[str, Any]:
        qualifier = request.get("Qualifier", LATEST)
        described = {"FunctionName": request["name"], "Version": qualifier, "State": "Active"}
        if qualifier != LATEST and qualifier not in function.versions:
            raise Refused("ResourceNotFoundException", f"Function not found: {request['name']}:{qualifier}", 404)
        described["RevisionId"] = _name_revision(function)
        if qualifier != LATEST:
            return {**described, "CodeSha256": function.versions[qualifier][0], "LastUpdateStatus": "Successful"}
        if function.pending:
            function.pending -= 1
            return {**described, "CodeSha256": function.code, "LastUpdateStatus": "InProgress"}
        failed = {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": function.failure}
        return {
            **described,
            "CodeSha256": function.code,
            **(failed if function.failure else {"LastUpdateStatus": "Successful"}),
        }

    def _update_code(self, function: Function, request: dict[str, Any]) -> dict[str, Any]:
        if function.pending:
            raise Refused("ResourceConflictException", "The operation cannot be performed at this time.", 409)
        _check_revision(request, _name_revision(function))
        if "ZipFile" in request:
            function.code = compute_digest(base64.b64decode(request["ZipFile"]))
        else:
            key = f"{request['S3Bucket']}/{request['S3Key']}"
            if key not in self.objects:
                raise Refused("InvalidParameterValueException", "Error occurred while GetObject. NoSuchKey")
            function.code = compute_digest(self.objects[key].encode("latin-1"))
        function.pending, function.failure = self.slow, self.fails
        return {"FunctionName": request["name"], "CodeSha256": function.code, "LastUpdateStatus": "InProgress"}


def compute_digest(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
