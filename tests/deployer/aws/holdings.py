"""The resources of an account whose types deletion policies retain, with the rules of their services.

- A name can be used once: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
- A table with deletion protection is not deleted:
  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html
- A vault with recovery points is not deleted: https://docs.aws.amazon.com/aws-backup/latest/devguide/create-a-vault.html
- A key is deleted after a waiting period of 7 to 30 days:
  https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

# The property with the name of a resource; a key has none.
NAMES = {
    "AWS::Backup::BackupVault": "BackupVaultName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::KMS::Key": "",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SQS::Queue": "QueueName",
}
PROTECTED = "Table '{}' can't be deleted while DeletionProtectionEnabled is set to True"


class Refused(Exception):
    def __init__(self, code: str, message: str, http_status: int = 400) -> None:
        super().__init__(message)
        self.code, self.http_status = code, http_status


@dataclass
class Resource:
    kind: str
    name: str
    tags: dict[str, str]
    protected: bool = False
    # Of a key.
    description: str = ""
    # The stack that created it.
    stack_id: str = ""
    # Items, messages, log events, or recovery points: the ARN of the point, its status, and the ARN of its source.
    contents: list[str] = field(default_factory=list)
    # Of a table: its primary key, as KeySchema and AttributeDefinitions.
    key: dict[str, Any] = field(default_factory=dict)
    # The ARN of the key that encrypts it.
    key_arn: str = ""
    # Days until a key is deleted; None for one that stays.
    pending_days: int | None = None


@dataclass
class Holdings:
    resources: dict[tuple[str, str], Resource] = field(default_factory=dict)
    # Key by alias.
    aliases: dict[str, str] = field(default_factory=dict)
    # What was deleted, which GetResources may still list.
    deleted: list[Resource] = field(default_factory=list)

    def create_resource(self, kind: str, name: str, tags: dict[str, str], protected: bool) -> Resource:
        if self.holds(kind, name):
            raise Refused("AlreadyExists", f"Resource of type '{kind}' with identifier '{name}' already exists.")
        self.resources[kind, name] = Resource(kind, name, tags, protected)
        return self.resources[kind, name]

    def delete_resource(self, kind: str, name: str) -> None:
        resource = self.resources[kind, name]
        if resource.protected:
            raise Refused("ValidationException", PROTECTED.format(name))
        if kind == "AWS::Backup::BackupVault" and resource.contents:
            raise Refused("InvalidRequestException", "Backup vault cannot be deleted: it contains recovery points")
        if kind == "AWS::KMS::Key":
            resource.pending_days = 30
        else:
            self.deleted.append(self.resources.pop((kind, name)))

    def holds(self, kind: str, name: str) -> bool:
        return (kind, name) in self.resources

    def find_names(self, environment: str = "") -> set[str]:
        """Return the names of all resources but deleted keys, or only of those with the tag of an environment."""
        return {
            name
            for (_, name), resource in self.resources.items()
            if resource.pending_days is None and environment in ("", resource.tags.get("Environment"))
        }

    def find_resource(self, kind: str, name: str, missing: str) -> Resource:
        """Return a resource. Raises ``Refused`` with the code ``missing`` if it does not exist."""
        if not self.holds(kind, name):
            raise Refused(missing, f"{name} not found")
        return self.resources[kind, name]


def physical_name(logical_id: str, resource: dict[str, Any], parameters: dict[str, str], stack_name: str) -> str:
    """Return the name that the template fixes, or a generated one."""
    expression = resource.get("Properties", {}).get(NAMES[resource["Type"]])
    return str(resolve_parameters(expression, parameters)) if expression else f"{stack_name}-{logical_id}"


def resolve_parameters(value: Any, parameters: dict[str, str]) -> Any:
    """Return the value of a property with the values of the parameters that it refers to."""
    if isinstance(value, dict) and set(value) == {"Ref"}:
        return parameters.get(value["Ref"], value["Ref"])
    text = value.get("Fn::Sub") if isinstance(value, dict) else value
    if isinstance(text, str):
        for name, argument in parameters.items():
            text = text.replace(f"${{{name}}}", argument)
    return text


def physical_id(kind: str, name: str) -> str:
    """Return the physical id that CloudFormation has; that of a queue is its URL."""
    return f"https://sqs/{name}" if kind == "AWS::SQS::Queue" else name


@cache
def has_system_tags(kind: str) -> bool:
    """Tell whether CloudFormation puts its own tags on resources of a type; not every type accepts them.

    https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html: ``tagging``
    """
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-west-1", kind).schema
    return bool(schema.get("tagging", {}).get("cloudFormationSystemTags", True))


def read_tags(resource: dict[str, Any], parameters: dict[str, str]) -> dict[str, str]:
    properties = resource.get("Properties", {})
    if "BackupVaultTags" in properties:
        return {key: resolve_parameters(value, parameters) for key, value in properties["BackupVaultTags"].items()}
    return {tag["Key"]: resolve_parameters(tag["Value"], parameters) for tag in properties.get("Tags", [])}
