"""Step 2: templates and code become files under keys that name their content.

The same rewriting as `aws cloudformation package` (local paths become S3 locations), but reproducible: the same
sources give the same bytes and so the same keys on every machine, and what is unchanged is not uploaded again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from scripts.common.errors import UserError
from scripts.common.packaging import Destination, Runtime
from scripts.common.templates import parse_template, to_plain_types
from stacks import emit
from stacks.compute import function_code, layers

from .archive import zip_folder

# Where the templates of plans are, beside "payment-platform".
PLANS = "payment-plans"
# Where a template names the bill of materials of its functions.
BILL = "SoftwareBillOfMaterials"


@dataclass(frozen=True)
class Package:
    """Everything to upload, by key, and the template to begin with."""

    destination: Destination
    files: dict[str, bytes]
    template_key: str
    template: str
    # Layers that have to be built, by key: the requirements they are made of.
    layers: dict[str, Path] = field(default_factory=dict)

    @property
    def template_url(self) -> str:
        return self.destination.object_url(self.template_key)


def repackage_for_plan(deployable: Package) -> Package:
    """The templates alone, under keys that no deployment asks for.

    Who may plan, such as a pull request's job, writes only there: an object under the key of a release to come would
    stop its deployment. Code is not uploaded, because a change set does not read it.
    """
    destination = replace(
        deployable.destination, prefix=deployable.destination.prefix.replace("payment-platform/", f"{PLANS}/", 1)
    )
    files, text = {}, deployable.template
    for key, content in deployable.files.items():
        if key.endswith(Path(deployable.template_key).suffix) and key != deployable.template_key:
            planned = destination.content_key(content, Path(key).suffix)
            text = text.replace(deployable.destination.object_url(key), destination.object_url(planned))
            files[planned] = content
    root = destination.content_key(text.encode(), Path(deployable.template_key).suffix)
    return Package(destination, {**files, root: text.encode()}, root, text)


def package_templates(template: Path, destination: Destination, runtime: Runtime | None = None) -> Package:
    """Package ``template`` and all that it names. Raises ``UserError`` for a path that is not there."""
    # It takes longer to import than the rest of this: only who packages waits for it.
    from . import sbom

    runtime = runtime or Runtime()
    files: dict[str, bytes] = {}
    requirements_of: dict[str, Path] = {}

    def add(content: bytes, suffix: str) -> str:
        key = destination.content_key(content, suffix)
        files[key] = content
        return key

    def nested(path: Path) -> str:
        return destination.object_url(add(rewritten(path).encode(), path.suffix))

    def rewritten(path: Path) -> str:
        materials = sbom.Materials()
        document = _rewrite_paths(
            path, partial(code, materials), partial(layer, materials), nested, runtime, materials.runtimes
        )
        if materials.files:
            # Named in the template, so that it is kept for as long as what it tells of.
            bill = destination.object_url(add(sbom.render_bill(materials), sbom.SUFFIX))
            document.setdefault("Metadata", {})[BILL] = bill
        return emit.to_yaml(to_plain_types(document))

    def layer(materials: sbom.Materials, folder: Path) -> dict[str, str]:
        # Named by what it contains; built, and uploaded, only where a stack asks for it.
        requirements = folder / "requirements.txt"
        try:
            key = destination.digest_key(layers.digest(requirements), ".zip")
        except layers.RequirementError as error:
            raise UserError(str(error)) from error
        requirements_of[key] = requirements
        materials.layers.append(requirements)
        return {"S3Bucket": destination.bucket, "S3Key": key}

    def code(materials: sbom.Materials, folder: Path) -> dict[str, str]:
        materials.package, materials.version = zip_folder(folder, runtime.files), function_code.digest(folder)
        materials.files = [*function_code.files(folder), *((name, content) for name, content, _ in runtime.files)]
        return {"S3Bucket": destination.bucket, "S3Key": add(materials.package, ".zip")}

    text = rewritten(template)
    key = add(text.encode(), template.suffix)
    return Package(destination, files, key, text, requirements_of)


def _rewrite_paths(
    path: Path,
    code: Callable[[Path], dict[str, str]],
    layer: Callable[[Path], dict[str, str]],
    nested: Callable[[Path], str],
    runtime: Runtime,
    runtimes: set[str],
) -> dict[str, Any]:
    """The template with S3 locations in the place of local paths. ``runtimes`` gets those of its functions."""
    try:
        document = parse_template(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    for resource in document["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::CloudFormation::Stack" and _is_local(properties["TemplateURL"]):
            properties["TemplateURL"] = nested(path.parent / properties["TemplateURL"])
        elif resource["Type"] == "AWS::Lambda::LayerVersion" and _is_local(properties["Content"]):
            properties["Content"] = layer(path.parent / properties["Content"])
        elif resource["Type"] == "AWS::Lambda::Function" and _is_local(properties["Code"]):
            properties["Code"] = code(path.parent / properties["Code"])
            runtimes.add(str(properties["Runtime"]))
            properties.update(runtime.properties)
            for name, value in runtime.variables.items():
                properties["Environment"]["Variables"][name] = value
    return document


def _is_local(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith(("http://", "https://", "s3://"))
