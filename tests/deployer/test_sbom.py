"""The bill of materials is correct, valid and reproducible, and is kept as long as its package."""

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import cfn_flip
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from scripts.common.errors import UserError
from scripts.common.packaging import Runtime
from scripts.deployer.package import BILL, Package
from scripts.deployer.planning import parse_package
from scripts.deployer.sbom import Materials, read_libraries, render_bill
from scripts.deployer.unneeded_artifacts import find_artifact_keys
from stacks.compute import function_code
from stacks.compute.runtime import RUNTIME
from tests.deployer.test_package import DESTINATION, package_repository
from tests.emitted import ROOT

REQUIREMENTS = ROOT / "lambda-layers" / "stripe" / "requirements.txt"
PINNED = "idna==3.20 --hash=sha256:" + "0" * 64


def only_file(package: Package, suffix: str) -> tuple[str, bytes]:
    (item,) = (item for item in package.files.items() if item[0].endswith(suffix))
    return item


def read_bill(package: Package | None = None) -> dict[str, Any]:
    return dict(json.loads(only_file(package or package_repository(), ".cdx.json")[1]))


def expected_hashes(content: bytes) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]


def test_the_bill_is_valid_cyclonedx() -> None:
    _, bill = only_file(package_repository(), ".cdx.json")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.decode()) is None


@pytest.mark.parametrize("runtime", [None, Runtime(files=(("bootstrap", b"#!/bin/sh", 0o755),))])
def test_the_bill_lists_the_package_of_the_functions_and_each_of_its_files(runtime: Runtime | None) -> None:
    package = package_repository(runtime=runtime)
    code = read_bill(package)["metadata"]["component"]
    key, zipped = only_file(package, ".zip")
    assert (code["type"], code["hashes"]) == ("application", expected_hashes(zipped))
    assert code["hashes"][0]["content"] in key
    assert code["version"] == function_code.digest_code()
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        files = {name: expected_hashes(archive.read(name)) for name in archive.namelist()}
    assert {file["name"]: file["hashes"] for file in code["components"]} == files
    assert {file["type"] for file in code["components"]} == {"file"}


def test_the_bill_lists_the_libraries_of_the_layer_and_the_runtime() -> None:
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    bill = read_bill()
    *libraries, runtime = sorted(bill["components"], key=lambda component: component["type"] == "platform")
    listed = [f"{lib['name']}=={lib['version']} --hash=sha256:{lib['hashes'][0]['content']}" for lib in libraries]
    assert listed == lines
    assert [library["purl"] for library in libraries] == [
        f"pkg:pypi/{line.split()[0].replace('==', '@')}" for line in lines
    ]
    assert (runtime["name"], runtime["type"]) == (RUNTIME, "platform")
    (references,) = [item["dependsOn"] for item in bill["dependencies"] if item["ref"] == "payment-functions"]
    assert sorted(references) == sorted(component["bom-ref"] for component in bill["components"])


def test_the_serial_number_of_a_bill_depends_on_its_content_only() -> None:
    materials = Materials(b"zip", "1", [("a.py", b"x = 1")], [], {RUNTIME})
    bill = json.loads(render_bill(materials))
    assert json.loads(render_bill(materials)) == bill
    assert "timestamp" not in bill["metadata"]
    materials.files = [("a.py", b"x = 2")]
    assert json.loads(render_bill(materials))["serialNumber"] != bill["serialNumber"]
    assert not re.search("[0-9]{4}-[0-9]{2}-[0-9]{2}", json.dumps(bill["metadata"]))


def test_a_deployment_that_keeps_a_package_keeps_its_bill() -> None:
    """The keys in a tree are kept. No template names the root template."""
    package = package_repository()
    key, _ = only_file(package, ".cdx.json")
    (compute,) = (text.decode() for text in package.files.values() if b"AWS::Lambda::Function" in text)
    assert cfn_flip.load(compute)[0]["Metadata"] == {BILL: DESTINATION.object_url(key)}
    assert find_artifact_keys(parse_package(package), DESTINATION) == {*package.files, *package.layers} - {
        package.template_key
    }


@pytest.mark.parametrize(
    "line",
    [
        *("idna", "idna==3.20", "idna>=3.20 --hash=sha256:" + "0" * 64, PINNED[:-1], f"-r more.txt {PINNED}"),
        # With two files, the choice would depend on the machine.
        f"{PINNED} --hash=sha256:{'1' * 64}",
    ],
)
def test_a_requirement_that_is_not_pinned_by_one_hash_is_refused(tmp_path: Path, line: str) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"# why\n\n{PINNED}\n{line}\n")
    with pytest.raises(UserError, match=f"not a version pinned by one hash: {re.escape(line)}"):
        list(read_libraries(requirements))


def test_the_command_prints_the_bill_or_writes_it_to_a_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.deployer.cli.sbom"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run([*command, tmp_path / "new" / "sbom.cdx.json"], cwd=ROOT, check=True)
    assert (
        printed == (tmp_path / "new" / "sbom.cdx.json").read_bytes() == only_file(package_repository(), ".cdx.json")[1]
    )


def test_only_packaging_imports_the_library() -> None:
    code = "import scripts.deployer.cli.deploy, sys; sys.exit('cyclonedx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
