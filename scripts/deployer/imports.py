"""Takes existing resources into the stacks: a copy of the templates by which CloudFormation finds and imports them.

CloudFormation imports an existing resource if its name is a literal in the template; ours are expressions, such as
``!Sub dynamodb-transactions-${Environment}``. So the import deploys a copy of the templates with literal names, and a
second change set (deletion_protection.py) deploys the templates themselves, which changes no value. In the copy, the
deletion policy is ``Retain``: a rollback deletes a resource with ``RetainExceptOnCreate`` that its operation created,
and AWS does not document whether an import counts as such.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from scripts.common.errors import UserError
from scripts.common.suggestion import suggest_command
from scripts.common.templates import STACK, parse_template
from stacks import emit

from .package import Package
from .plan.model import StackChanges
from .preflight.importable import GUIDE, ImportedResource


def copy_for_import(package: Package, resources: Sequence[ImportedResource]) -> Package:
    """Return the package with, in addition, the copy of its templates, whose root becomes the template to deploy."""
    files = dict(package.files)
    text = _copy_template(package, package.template, "", resources, files)
    key = package.destination.content_key(text.encode(), ".yaml")
    return replace(package, files={**files, key: text.encode()}, template_key=key, template=text)


def _copy_template(
    package: Package, text: str, path: str, resources: Sequence[ImportedResource], files: dict[str, bytes]
) -> str:
    """Return the copy of the template of the stack at ``path``; add the copies of its nested templates to ``files``."""
    by_path = {resource.path: resource for resource in resources}
    document = parse_template(text)
    for logical_id, declared in document["Resources"].items():
        below = f"{path}{logical_id}"
        if imported := by_path.get(below):
            declared["Properties"][imported.property] = imported.name
            declared["DeletionPolicy"] = "Retain"
        elif declared["Type"] == STACK and any(name.startswith(f"{below}/") for name in by_path):
            key = declared["Properties"]["TemplateURL"].removeprefix(package.destination.object_url(""))
            nested = _copy_template(package, package.files[key].decode(), f"{below}/", resources, files).encode()
            copied = package.destination.content_key(nested, ".yaml")
            files[copied] = nested
            declared["Properties"]["TemplateURL"] = package.destination.object_url(copied)
    return emit.to_yaml(document)


def check_imported(stack: StackChanges, resources: Sequence[ImportedResource]) -> None:
    """Raise ``UserError`` if CloudFormation would not import one of the resources."""
    imported = {path for path, change in stack.walk() if change.action == "Import"}
    for resource in resources:
        if resource.path not in imported:
            raise UserError(
                f"CloudFormation does not import {resource.path} ({resource.name}), though it exists; see {GUIDE}"
            )


def describe_imports(resources: Sequence[ImportedResource], environment: str) -> Iterator[str]:
    """Yield the notices of the plan."""
    if not resources:
        return
    revert = suggest_command("deploy", environment, "--revert-drift")
    yield f"what is imported stays as it is: where it differs from the templates, {revert} changes it afterwards"
    encrypted: dict[str, list[str]] = {}
    for resource in resources:
        if resource.key_arn:
            encrypted.setdefault(resource.key_arn, []).append(resource.path)
    for key_arn, paths in encrypted.items():
        verb = "is" if len(paths) == 1 else "are"
        yield (
            f"{' and '.join(paths)} {verb} encrypted with {key_arn}, which the functions may not use: keep that key, "
            f"and run {revert} before the first payment"
        )
    yield "a second change set deploys the templates in place of the import's copies; the values are the same"
