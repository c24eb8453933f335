"""Packages: reproducible bytes under keys that name them, and only what is not there is uploaded."""

import ast
import base64
import hashlib
import io
import os
import shutil
import zipfile
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
from stacks.compute.runtime import RUNTIME
from tests.emitted import ROOT, load_template, resources

DESTINATION = Destination.for_environment("bucket", "https://s3.eu-west-1.amazonaws.com", "dev")


def packaged(root: Path = ROOT, runtime: Runtime | None = None):
    return package_templates(root / "templates" / "parent.yaml", DESTINATION, runtime)


def test_the_same_sources_give_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    for name in ("templates", "lambda", "lambda-layers"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for path in tmp_path.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    (tmp_path / "lambda" / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / "lambda" / "__pycache__" / "x.pyc").write_bytes(b"1")
    there, here = packaged(tmp_path), packaged()
    assert (there.files, there.template_key, set(there.layers)) == (here.files, here.template_key, set(here.layers))


def test_changed_code_changes_only_what_holds_it(tmp_path: Path) -> None:
    for name in ("templates", "lambda", "lambda-layers"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "lambda" / "more.py").write_text("x = 1\n")
    changed = set(packaged(tmp_path).files) - set(packaged().files)
    # The zip, its bill of materials, the template that names both, and the parent that names the template.
    assert len(changed) == 4


def test_every_local_path_becomes_a_location_in_the_bucket() -> None:
    made = packaged()
    parent = cfn_flip.load(made.template)[0]
    urls = [stack["Properties"]["TemplateURL"] for stack in parent["Resources"].values()]
    assert len(urls) == 5
    for url in urls:
        key = url.removeprefix("https://s3.eu-west-1.amazonaws.com/bucket/")
        assert key in made.files
    compute = cfn_flip.load(made.files[key_of(urls, made, "lambda-payment")].decode())[0]
    codes = [r["Properties"]["Code"] for r in compute["Resources"].values() if r["Type"] == "AWS::Lambda::Function"]
    # One package for both functions.
    assert len({str(code) for code in codes}) == 1
    assert codes[0]["S3Bucket"] == "bucket"
    assert codes[0]["S3Key"] in made.files
    assert len(made.files) == 8


def key_of(urls: list[str], made, text: str) -> str:
    keys = [url.split("/bucket/")[1] for url in urls]
    return next(key for key in keys if b"AWS::Lambda::Function" in made.files[key] and text.encode() in made.files[key])


def imported(folder: Path, name: str, known: set[str]) -> set[str]:
    """The files of a folder that a module of it needs, with those ``known``."""
    path = folder / f"{name.replace('.', '/')}.py"
    path = path if path.exists() else folder / name.replace(".", "/") / "__init__.py"
    inside = path.relative_to(folder).as_posix()
    if inside in known or not path.exists():
        return known
    known = known | {inside}
    package_name = name if path.name == "__init__.py" else name.rpartition(".")[0]
    needs = [package_name] if package_name else []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            needs += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = f"{package_name}.{node.module}" if node.level else str(node.module)
            needs += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    for need in needs:
        known = imported(folder, need, known)
    return known


def test_the_zip_holds_what_the_handlers_need_and_nothing_else() -> None:
    """Seen to fail with a test in the folder, and with a module that nothing imports."""
    compute = load_template("compute")
    handlers = [function["Properties"]["Handler"] for function in resources(compute, "AWS::Lambda::Function").values()]
    assert len(handlers) == 3
    needed: set[str] = set()
    for handler in handlers:
        needed = imported(ROOT / "lambda", handler.removesuffix(".handler"), needed)
    with zipfile.ZipFile(io.BytesIO(zip_folder(ROOT / "lambda"))) as archive:
        names = archive.namelist()
        assert names == sorted(needed)
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_local_packaging_adds_only_the_bootstrap() -> None:
    runtime = Runtime({"Runtime": "provided.al2023"}, (("bootstrap", b"#!/bin/sh\n", 0o755),))
    aws, local = packaged(), packaged(runtime=runtime)
    assert RUNTIME in str(aws.files)
    (template,) = (v.decode() for v in local.files.values() if b"provided.al2023" in v)
    original = next(v.decode() for v in aws.files.values() if b"AWS::Lambda::Function" in v)
    different = [(a, b) for a, b in zip(original.splitlines(), template.splitlines(), strict=True) if a != b]
    assert {a.split(":")[0].strip() for a, _ in different} == {"Runtime", "S3Key", "SoftwareBillOfMaterials"}
    (code,) = (v for k, v in local.files.items() if k.endswith(".zip"))
    with zipfile.ZipFile(io.BytesIO(code)) as archive:
        assert archive.getinfo("bootstrap").external_attr >> 16 == 0o755


def test_local_packaging_adds_variables_beside_the_functions_own() -> None:
    files = packaged(runtime=Runtime(variables={"GATEWAY_URL": "http://127.0.0.1"})).files
    compute = next(text.decode() for text in files.values() if b"AWS::Lambda::Function" in text)
    functions = resources(cfn_flip.load(compute)[0], "AWS::Lambda::Function")
    assert len(functions) == 3
    for function in functions.values():
        variables = function["Properties"]["Environment"]["Variables"]
        assert variables["GATEWAY_URL"] == "http://127.0.0.1"
        assert "DYNAMODB_TABLE_NAME" in variables


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    shutil.copytree(ROOT / "lambda-layers", tmp_path / "lambda-layers")
    with pytest.raises(UserError, match=r"templates/\.\./lambda holds no Python files"):
        packaged(tmp_path)
    (tmp_path / "templates" / "data.yaml").unlink()
    with pytest.raises(UserError, match=r"data\.yaml: cannot be read: No such file"):
        packaged(tmp_path)


def test_what_is_there_is_not_uploaded_again_and_the_buckets_owner_is_checked() -> None:
    made = packaged()
    s3 = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    first, *rest = made.files
    one = type(made)(made.destination, {first: made.files[first]}, made.template_key, made.template)
    owner = {"Bucket": "bucket", "ExpectedBucketOwner": "123"}
    checksum = base64.b64encode(hashlib.sha256(made.files[first]).digest()).decode()
    with Stubber(s3) as stub:
        asked = {**owner, "Key": first, "ChecksumMode": "ENABLED"}
        written = {**owner, "Key": first, "Body": ANY, "ChecksumSHA256": checksum, "IfNoneMatch": "*"}
        stub.add_client_error("head_object", "404", http_status_code=404, expected_params=asked)
        stub.add_response("put_object", {}, written)
        stub.add_response("head_object", {"ChecksumSHA256": checksum}, asked)
        assert upload_package(one, s3, "123") == 1
        assert upload_package(one, s3, "123") == 0
        # Somebody else was quicker.
        stub.add_client_error("head_object", "404", http_status_code=404, expected_params=asked)
        stub.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
        stub.add_response("head_object", {"ChecksumSHA256": checksum}, asked)
        assert upload_package(one, s3, "123") == 0
        for wrong in ({}, {"ChecksumSHA256": "another"}):
            stub.add_response("head_object", wrong, asked)
            with pytest.raises(UserError, match="does not match the checksum in its name"):
                upload_package(one, s3, "123")
        stub.assert_no_pending_responses()
    with Stubber(s3) as stub:
        stub.add_client_error("head_object", "403", http_status_code=403)
        with pytest.raises(Exception, match="403"):
            upload_package(one, s3, "123")
    assert len(rest) == 7


def layer_key(folder: Path) -> str:
    made = packaged(folder)
    ((key, _),) = made.layers.items()
    # The resource is made anew exactly when this changes: https://docs.aws.amazon.com/AWSCloudFormation/latest/
    # TemplateReference/aws-resource-lambda-layerversion.html
    assert any(key.encode() in content for content in made.files.values())
    return key


def test_a_layers_key_changes_exactly_when_the_layer_does(tmp_path: Path) -> None:
    for name in ("templates", "lambda", "lambda-layers"):
        shutil.copytree(ROOT / name, tmp_path / name)
    requirements = tmp_path / "lambda-layers" / "stripe" / "requirements.txt"
    text, before = requirements.read_text(), layer_key(tmp_path)
    requirements.write_text("# why\n\n" + "\n".join(reversed(text.splitlines())) + "\n")
    assert layer_key(tmp_path) == before
    requirements.write_text(text.replace("sha256:2", "sha256:3"))
    assert layer_key(tmp_path) != before
    requirements.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    assert layer_key(tmp_path) != before


def test_a_layer_is_named_by_what_it_is_made_of_and_built_only_on_request() -> None:
    made = packaged()
    ((key, requirements),) = made.layers.items()
    assert requirements.name == "requirements.txt"
    assert key not in made.files
    compute = next(text.decode() for text in made.files.values() if b"AWS::Lambda::LayerVersion" in text)
    assert key in compute


def test_the_layer_is_what_stripes_library_needs_and_nothing_else() -> None:
    """All that it requires, what that requires, and so on, as the distributions themselves say."""
    lines = (ROOT / "lambda-layers" / "stripe" / "requirements.txt").read_text().splitlines()[1:]
    pinned = dict(line.split()[0].split("==") for line in lines)
    needed, found = [Requirement("stripe")], set()
    while needed:
        requirement = needed.pop()
        name = canonicalize_name(requirement.name)
        assert pinned[name] in requirement.specifier
        if name not in found:
            found.add(name)
            requires = map(Requirement, metadata.requires(name) or [])
            needed += [one for one in requires if one.marker is None or one.marker.evaluate({"extra": ""})]
    assert found == set(pinned)
