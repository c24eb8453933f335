"""Packages are reproducible, and only missing files are uploaded."""

import ast
import base64
import hashlib
import io
import os
import re
import shutil
import zipfile
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import boto3
import cfn_flip
import pytest
from botocore.stub import ANY, Stubber
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.common.errors import UserError
from scripts.common.packaging import Destination, Runtime
from scripts.deployer.archive import zip_folder
from scripts.deployer.package import package_templates
from scripts.deployer.upload import upload_package
from stacks import names
from stacks.compute.runtime import RUNTIME
from tests.emitted import ROOT, load_template, resources

DESTINATION = Destination.for_environment("bucket", "https://s3.eu-west-1.amazonaws.com", "dev")


def package_repository(root: Path = ROOT, runtime: Runtime | None = None):
    return package_templates(root / "templates" / "parent.yaml", DESTINATION, runtime)


def copy_sources(folder: Path, *names: str) -> None:
    for name in names or ("templates", "lambda", "lambda-layers"):
        shutil.copytree(ROOT / name, folder / name)


def test_the_same_sources_give_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    copy_sources(tmp_path)
    for path in tmp_path.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    (tmp_path / "lambda" / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / "lambda" / "__pycache__" / "x.pyc").write_bytes(b"1")
    copy, original = package_repository(tmp_path), package_repository()
    assert (copy.files, copy.template_key) == (original.files, original.template_key)
    assert set(copy.layers) == set(original.layers)


def test_changed_code_changes_only_the_files_that_contain_or_name_it(tmp_path: Path) -> None:
    copy_sources(tmp_path)
    (tmp_path / "lambda" / "more.py").write_text("x = 1\n")
    changed = set(package_repository(tmp_path).files) - set(package_repository().files)
    # The zip, its bill of materials, the template that names both, and the parent that names the template.
    assert len(changed) == 4


def test_every_local_path_becomes_a_location_in_the_bucket() -> None:
    package = package_repository()
    parent = cfn_flip.load(package.template)[0]
    urls = [stack["Properties"]["TemplateURL"] for stack in parent["Resources"].values()]
    assert len(urls) == 5
    for url in urls:
        key = url.removeprefix("https://s3.eu-west-1.amazonaws.com/bucket/")
        assert key in package.files
    (compute,) = (text.decode() for text in package.files.values() if b"AWS::Lambda::Function" in text)
    functions = resources(cfn_flip.load(compute)[0], "AWS::Lambda::Function")
    codes = [function["Properties"]["Code"] for function in functions.values()]
    # One package for all functions.
    assert len({str(code) for code in codes}) == 1
    assert codes[0]["S3Bucket"] == "bucket"
    assert codes[0]["S3Key"] in package.files
    assert len(package.files) == 8


def find_imports(folder: Path, name: str, files: set[str]) -> set[str]:
    """Return the files of a folder that a module in it imports, together with ``files``."""
    path = folder / f"{name.replace('.', '/')}.py"
    path = path if path.exists() else folder / name.replace(".", "/") / "__init__.py"
    inside = path.relative_to(folder).as_posix()
    if inside in files or not path.exists():
        return files
    files = files | {inside}
    package_name = name if path.name == "__init__.py" else name.rpartition(".")[0]
    modules = [package_name] if package_name else []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = f"{package_name}.{node.module}" if node.level else str(node.module)
            modules += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    for module in modules:
        files = find_imports(folder, module, files)
    return files


def test_the_zip_holds_what_the_handlers_need_and_nothing_else() -> None:
    """Fails with a test in the folder, and with a module that no handler imports."""
    compute = load_template("compute")
    handlers = [function["Properties"]["Handler"] for function in resources(compute, "AWS::Lambda::Function").values()]
    assert sorted(handlers) == sorted(f"handlers.{function.purpose}.handler" for function in names.FUNCTIONS)
    imported: set[str] = set()
    for handler in handlers:
        imported = find_imports(ROOT / "lambda", handler.removesuffix(".handler"), imported)
    with zipfile.ZipFile(io.BytesIO(zip_folder(ROOT / "lambda"))) as archive:
        files = archive.namelist()
        assert files == sorted(imported)
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_local_packaging_adds_only_the_bootstrap() -> None:
    runtime = Runtime({"Runtime": "provided.al2023"}, (("bootstrap", b"#!/bin/sh\n", 0o755),))
    aws, local = package_repository(), package_repository(runtime=runtime)
    assert RUNTIME in str(aws.files)
    (template,) = (v.decode() for v in local.files.values() if b"provided.al2023" in v)
    original = next(v.decode() for v in aws.files.values() if b"AWS::Lambda::Function" in v)
    different = [(a, b) for a, b in zip(original.splitlines(), template.splitlines(), strict=True) if a != b]
    keys = {re.sub(r"-[0-9a-f]{16}$", "", a.split(":")[0].strip()) for a, _ in different}
    # With the digest in the versions' descriptions, templates that another tool deployed get this runtime, too.
    assert keys == {"Runtime", "S3Key", "SoftwareBillOfMaterials", "- - code"}
    assert sum(a.strip().startswith("- - code-") for a, _ in different) == len(names.FUNCTIONS)
    (code,) = (v for k, v in local.files.items() if k.endswith(".zip"))
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        assert archive.getinfo("bootstrap").external_attr >> 16 == 0o755


def test_local_packaging_adds_variables_beside_the_functions_own() -> None:
    files = package_repository(runtime=Runtime(variables={"GATEWAY_URL": "http://127.0.0.1"})).files
    compute = next(text.decode() for text in files.values() if b"AWS::Lambda::Function" in text)
    functions = resources(cfn_flip.load(compute)[0], "AWS::Lambda::Function")
    assert len(functions) == len(names.FUNCTIONS)
    for function in functions.values():
        variables = function["Properties"]["Environment"]["Variables"]
        assert variables["GATEWAY_URL"] == "http://127.0.0.1"
        assert "DYNAMODB_TABLE_NAME" in variables


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    copy_sources(tmp_path, "templates", "lambda-layers")
    with pytest.raises(UserError, match=r"templates/\.\./lambda holds no Python files"):
        package_repository(tmp_path)
    (tmp_path / "templates" / "data.yaml").unlink()
    with pytest.raises(UserError, match=r"data\.yaml: cannot be read: No such file"):
        package_repository(tmp_path)


def test_an_existing_file_is_not_uploaded_again_and_the_buckets_owner_is_checked() -> None:
    package = package_repository()
    s3 = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    assert len(package.files) == 8
    key, content = next(iter(package.files.items()))
    package = replace(package, files={key: content})
    owner = {"Bucket": "bucket", "ExpectedBucketOwner": "123"}
    checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
    with Stubber(s3) as stub:
        head = {**owner, "Key": key, "ChecksumMode": "ENABLED"}
        request = {**owner, "Key": key, "Body": ANY, "ChecksumSHA256": checksum, "IfNoneMatch": "*"}
        stub.add_client_error("head_object", "404", http_status_code=404, expected_params=head)
        stub.add_response("put_object", {}, request)
        stub.add_response("head_object", {"ChecksumSHA256": checksum}, head)
        assert upload_package(package, s3, "123") == 1
        assert upload_package(package, s3, "123") == 0
        # Another deployment uploads the file at the same time.
        for status in (412, 409):
            stub.add_client_error("head_object", "404", http_status_code=404, expected_params=head)
            stub.add_client_error("put_object", str(status), http_status_code=status)
            stub.add_response("head_object", {"ChecksumSHA256": checksum}, head)
            assert upload_package(package, s3, "123") == 0
        for wrong in ({}, {"ChecksumSHA256": "another"}):
            stub.add_response("head_object", wrong, head)
            with pytest.raises(UserError, match="does not match the checksum in its name"):
                upload_package(package, s3, "123")
        stub.assert_no_pending_responses()
    with Stubber(s3) as stub:
        stub.add_client_error("head_object", "403", http_status_code=403)
        with pytest.raises(Exception, match="403"):
            upload_package(package, s3, "123")


def layer_key(folder: Path) -> str:
    package = package_repository(folder)
    ((key, _),) = package.layers.items()
    # CloudFormation replaces the resource exactly when this changes: https://docs.aws.amazon.com/AWSCloudFormation/latest/
    # TemplateReference/aws-resource-lambda-layerversion.html
    assert any(key.encode() in content for content in package.files.values())
    return key


def test_a_layers_key_changes_exactly_when_the_layer_does(tmp_path: Path) -> None:
    copy_sources(tmp_path)
    requirements = tmp_path / "lambda-layers" / "stripe" / "requirements.txt"
    text, before = requirements.read_text(), layer_key(tmp_path)
    requirements.write_text("# why\n\n" + "\n".join(reversed(text.splitlines())) + "\n")
    assert layer_key(tmp_path) == before
    requirements.write_text(text.replace("sha256:2", "sha256:3"))
    assert layer_key(tmp_path) != before
    requirements.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    assert layer_key(tmp_path) != before


def test_a_layer_is_named_by_what_it_is_made_of_and_built_only_on_request() -> None:
    package = package_repository()
    ((key, requirements),) = package.layers.items()
    assert requirements.name == "requirements.txt"
    assert key not in package.files
    compute = next(text.decode() for text in package.files.values() if b"AWS::Lambda::LayerVersion" in text)
    assert key in compute


def test_the_layer_is_what_stripes_library_needs_and_nothing_else() -> None:
    """The metadata of the distributions gives the direct and indirect requirements."""
    lines = (ROOT / "lambda-layers" / "stripe" / "requirements.txt").read_text().splitlines()[1:]
    pinned = dict(line.split()[0].split("==") for line in lines)
    requirements, visited = [Requirement("stripe")], set()
    while requirements:
        requirement = requirements.pop()
        name = canonicalize_name(requirement.name)
        assert pinned[name] in requirement.specifier
        if name not in visited:
            visited.add(name)
            required = map(Requirement, metadata.requires(name) or [])
            requirements += [item for item in required if item.marker is None or item.marker.evaluate({"extra": ""})]
    assert visited == set(pinned)
