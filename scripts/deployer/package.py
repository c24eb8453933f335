"""Packages templates and code as files whose keys name their content.

As with `aws cloudformation package`, local paths become S3 locations. But the same sources give the same bytes, and so
the same keys, on every machine, so that unchanged files are not uploaded again.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.common.errors import UserError
from scripts.common.packaging import Destination, Runtime
from scripts.common.templates import parse_template
from stacks import emit
from stacks.compute import function_code, layers

from .archive import zip_folder

if TYPE_CHECKING:
    from .sbom import Materials

# The prefix of the templates of plans; that of deployments is "payment-platform".
PLANS = "payment-plans"
# The key in a template's metadata that names the bill of materials of its functions.
BILL = "SoftwareBillOfMaterials"


@dataclass(frozen=True)
class Package:
    """Everything to upload, by key, and the root template."""

    destination: Destination
    files: dict[str, bytes]
    template_key: str
    template: str
    # The requirements of layers to be built, by key.
    layers: dict[str, Path] = field(default_factory=dict)

    @property
    def template_url(self) -> str:
        return self.destination.object_url(self.template_key)


def repackage_for_plan(package: Package) -> Package:
    """Return the templates alone, under keys that no deployment reads; a change set reads no code.

    A caller who may only plan, such as a pull request's job, can write there only: an object under the key of a future
    release would stop its deployment.
    """
    destination = replace(
        package.destination, prefix=package.destination.prefix.replace("payment-platform/", f"{PLANS}/", 1)
    )
    files, text = {}, package.template
    suffix = Path(package.template_key).suffix
    for key, content in package.files.items():
        if key.endswith(suffix) and key != package.template_key:
            planned = destination.content_key(content, suffix)
            text = text.replace(package.destination.object_url(key), destination.object_url(planned))
            files[planned] = content
    root = destination.content_key(text.encode(), suffix)
    return Package(destination, {**files, root: text.encode()}, root, text)


def package_templates(template: Path, destination: Destination, runtime: Runtime | None = None) -> Package:
    """Package ``template`` and what it refers to. Raises ``UserError`` for a path that does not exist."""
    packager = _Packager(destination, runtime or Runtime())
    text = packager.package_template(template)
    key = packager.add_file(text.encode(), template.suffix)
    return Package(destination, packager.files, key, text, packager.layers)


class _Packager:
    """Collects the files of a package and the requirements of its layers, by key."""

    def __init__(self, destination: Destination, runtime: Runtime) -> None:
        self._destination, self._runtime = destination, runtime
        self.files: dict[str, bytes] = {}
        self.layers: dict[str, Path] = {}

    def add_file(self, content: bytes, suffix: str) -> str:
        key = self._destination.content_key(content, suffix)
        self.files[key] = content
        return key

    def package_template(self, path: Path) -> str:
        """Return the template with S3 locations for local paths, whose files are collected."""
        # Imported here because it takes longer than all else, and only packaging needs it.
        from . import sbom

        try:
            document = parse_template(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        materials = sbom.Materials()
        for resource in document["Resources"].values():
            properties = resource.get("Properties", {})
            match resource["Type"]:
                case "AWS::CloudFormation::Stack" if _is_local(properties.get("TemplateURL")):
                    nested = path.parent / properties["TemplateURL"]
                    key = self.add_file(self.package_template(nested).encode(), nested.suffix)
                    properties["TemplateURL"] = self._destination.object_url(key)
                case "AWS::Lambda::LayerVersion" if _is_local(properties.get("Content")):
                    properties["Content"] = self._locate_layer(path.parent / properties["Content"], materials)
                case "AWS::Lambda::Function" if _is_local(properties.get("Code")):
                    self._package_function(path.parent, properties, materials)
                case "AWS::Lambda::Version":
                    self._describe_runtime(properties)
        if materials.files:
            # The template names the bill, so that the bill is kept as long as the template.
            bill = self.add_file(sbom.render_bill(materials), sbom.SUFFIX)
            document.setdefault("Metadata", {})[BILL] = self._destination.object_url(bill)
        return emit.to_yaml(document)

    def _locate_layer(self, folder: Path, materials: "Materials") -> dict[str, str]:
        """Return where the layer will be. Its key names its requirements, so it is built only if a stack needs it."""
        requirements = folder / "requirements.txt"
        try:
            key = self._destination.digest_key(layers.digest_requirements(requirements), ".zip")
        except layers.RequirementError as error:
            raise UserError(str(error)) from error
        self.layers[key] = requirements
        materials.layers.append(requirements)
        return {"S3Bucket": self._destination.bucket, "S3Key": key}

    def _package_function(self, folder: Path, properties: dict[str, Any], materials: "Materials") -> None:
        code, runtime = folder / properties["Code"], self._runtime
        materials.package, materials.version = zip_folder(code, runtime.files), function_code.digest_code(code)
        materials.files = [*function_code.list_files(code), *((name, content) for name, content, _ in runtime.files)]
        if "Runtime" in properties:
            materials.runtimes.add(str(properties["Runtime"]))
        key = self.add_file(materials.package, ".zip")
        properties["Code"] = {"S3Bucket": self._destination.bucket, "S3Key": key}
        properties.update(runtime.properties)
        if runtime.variables:
            properties["Environment"]["Variables"].update(runtime.variables)

    def _describe_runtime(self, properties: dict[str, Any]) -> None:
        match properties.get("Description"):
            case {"Fn::Join": [_, [str(digest), *_] as parts]}:
                parts[0] = self._runtime.extend_digest(digest)


def _is_local(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith(("http://", "https://", "s3://"))
