"""The bill of materials: true, valid, the same for the same sources, and kept for as long as what it tells of."""

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
from scripts.deployer.planning import packaged_tree
from scripts.deployer.retire import find_artifact_keys
from scripts.deployer.sbom import Materials, read_libraries, render_bill
from stacks.compute import function_code
from stacks.compute.runtime import RUNTIME
from tests.deployer.test_package import DESTINATION, packaged
from tests.emitted import ROOT

REQUIREMENTS = ROOT / "lambda-layers" / "stripe" / "requirements.txt"
PINNED = "idna==3.20 --hash=sha256:" + "0" * 64


def of(made: Package, suffix: str) -> tuple[str, bytes]:
    ((key, content),) = ((key, content) for key, content in made.files.items() if key.endswith(suffix))
    return key, content


def bill(made: Package | None = None) -> dict[str, Any]:
    return dict(json.loads(of(made or packaged(), ".cdx.json")[1]))


def digest(content: bytes) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]


def test_it_is_valid() -> None:
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(of(packaged(), ".cdx.json")[1].decode())
    assert errors is None


@pytest.mark.parametrize("runtime", [None, Runtime(files=(("bootstrap", b"#!/bin/sh", 0o755),))])
def test_it_names_the_functions_package_and_each_file_in_it(runtime: Runtime | None) -> None:
    made = packaged(runtime=runtime)
    code = bill(made)["metadata"]["component"]
    key, zipped = of(made, ".zip")
    assert (code["type"], code["hashes"]) == ("application", digest(zipped))
    assert code["hashes"][0]["content"] in key
    assert code["version"] == function_code.digest()
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        files = {name: digest(archive.read(name)) for name in archive.namelist()}
    assert {file["name"]: file["hashes"] for file in code["components"]} == files
    assert {file["type"] for file in code["components"]} == {"file"}


def test_it_names_what_the_layer_is_built_of_and_the_runtime() -> None:
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    *named, runtime = sorted(bill()["components"], key=lambda component: component["type"] == "platform")
    told = [f"{one['name']}=={one['version']} --hash=sha256:{one['hashes'][0]['content']}" for one in named]
    assert told == lines
    assert [one["purl"] for one in named] == [f"pkg:pypi/{line.split()[0].replace('==', '@')}" for line in lines]
    assert (runtime["name"], runtime["type"]) == (RUNTIME, "platform")
    (needs,) = [one["dependsOn"] for one in bill()["dependencies"] if one["ref"] == "payment-functions"]
    assert sorted(needs) == sorted(one["bom-ref"] for one in bill()["components"])


def test_its_number_is_of_what_it_says_and_it_has_no_date() -> None:
    materials = Materials(b"zip", "1", [("a.py", b"x = 1")], [], {RUNTIME})
    one, same = (json.loads(render_bill(materials)) for _ in range(2))
    assert one == same
    assert "timestamp" not in one["metadata"]
    materials.files = [("a.py", b"x = 2")]
    assert json.loads(render_bill(materials))["serialNumber"] != one["serialNumber"]
    assert not re.search("[0-9]{4}-[0-9]{2}-[0-9]{2}", json.dumps(one["metadata"]))


def test_no_deployment_that_needs_the_package_lets_its_bill_go() -> None:
    """What a tree names is kept (retire.py); the root template is named by nothing, and kept by itself."""
    made = packaged()
    key, _ = of(made, ".cdx.json")
    (compute,) = (text.decode() for text in made.files.values() if b"AWS::Lambda::Function" in text)
    assert cfn_flip.load(compute)[0]["Metadata"] == {BILL: DESTINATION.object_url(key)}
    assert find_artifact_keys(packaged_tree(made), DESTINATION) == {*made.files, *made.layers} - {made.template_key}


@pytest.mark.parametrize(
    "line",
    [
        *("idna", "idna==3.20", "idna>=3.20 --hash=sha256:" + "0" * 64, PINNED[:-1], f"-r more.txt {PINNED}"),
        # Either of two files: the layer would depend on the machine.
        f"{PINNED} --hash=sha256:{'1' * 64}",
    ],
)
def test_what_is_not_pinned_by_its_hash_is_refused(tmp_path: Path, line: str) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"# why\n\n{PINNED}\n{line}\n")
    with pytest.raises(UserError, match=f"not a version pinned by one hash: {re.escape(line)}"):
        list(read_libraries(requirements))


def test_the_command_writes_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.deployer.cli.sbom"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run([*command, tmp_path / "new" / "sbom.cdx.json"], cwd=ROOT, check=True)
    assert told == (tmp_path / "new" / "sbom.cdx.json").read_bytes() == of(packaged(), ".cdx.json")[1]


def test_only_who_packages_waits_for_the_library() -> None:
    code = "import scripts.deployer.cli.deploy, sys; sys.exit('cyclonedx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
