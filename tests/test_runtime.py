"""One constant defines the runtime of the functions; other places derive from it or are compared with it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from scripts import locks
from scripts.local import runtime as local
from stacks import names
from stacks.compute.runtime import PYTHON, RUNTIME
from stacks.render import build_documents
from stacks.wiring import to_pascal_case
from tests.emitted import ROOT

FUNCTIONS = tuple(to_pascal_case(function.purpose) for function in names.FUNCTIONS)
# The places that state the oldest supported Python, because they cannot be derived.
OLDEST = {
    "setup.cfg": r"^python_requires = >=(\S+)$",
    "pyproject.toml": r'^target-version = "py3(\d+)"$',
    "Makefile": r"sys\.version_info < \(3, (\d+)\)",
    "README.md": r"Python 3\.(\d+) or newer with `venv`",
}
# Generates the templates, and prints the versions for Lambda, pip and readers.
FOLLOWERS = """
import json
from pathlib import Path
from scripts.common.packaging import Destination
from scripts.deployer import layer, package, sbom
from scripts.local import runtime
from stacks.render import build_documents, render_files

for name, text in render_files().items():
    Path("templates", name).write_text(text)

def properties(kind):
    resources = build_documents("json")["compute"]["Resources"].values()
    return [one["Properties"] for one in resources if one["Type"] == f"AWS::Lambda::{kind}"]

class Pip:
    returncode, stderr, commands = 1, "stop", []
    def run(self, command, **_):
        self.commands.append(command)
        return self

layer.subprocess.run = Pip().run
try:
    layer.build_layer(Path("requirements.txt"))
except layer.UserError:
    pass
(pip,) = Pip.commands
files = package.package_templates(Path("templates", "parent.yaml"), Destination("", "", "")).files
(bill,) = (json.loads(text) for key, text in files.items() if key.endswith(sbom.SUFFIX))
print(json.dumps({
    "functions": [one["Runtime"] for one in properties("Function")],
    "layer": [one["CompatibleRuntimes"] for one in properties("LayerVersion")],
    "versions": [one["Description"]["Fn::Join"][1][0] for one in properties("Version")],
    "pip": pip[pip.index("--python-version") + 1],
    "bill": [one["name"] for one in bill["components"] if one["type"] == "platform"],
    "notice": runtime.describe_interpreter(),
}))
"""


def read_followers(folder: Path) -> dict[str, Any]:
    process = subprocess.run([sys.executable, "-c", FOLLOWERS], cwd=folder, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return dict(json.loads(process.stdout))


def test_all_that_depends_on_the_runtime_follows_it(tmp_path: Path) -> None:
    """The constant of a copy of the repository names another runtime."""
    for name in ("stacks", "scripts", "lambda", "lambda-layers", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    compute = build_documents("json")["compute"]["Resources"]
    before = [compute[f"{title}Version"]["Properties"]["Description"]["Fn::Join"][1][0] for title in FUNCTIONS]
    constant = tmp_path / "stacks" / "compute" / "runtime.py"
    constant.write_text(constant.read_text().replace(f'PYTHON = "{PYTHON}"', 'PYTHON = "3.99"'))
    after = read_followers(tmp_path)
    assert after["functions"] == ["python3.99"] * len(FUNCTIONS)
    assert after["layer"] == [["python3.99"]]
    assert after["pip"] == "3.99"
    assert after["bill"] == ["python3.99"]
    assert "and on 3.99 in Lambda" in after["notice"]
    assert not set(before) & set(after["versions"])


def test_the_runtime_is_written_once() -> None:
    for folder in ("stacks", "scripts", "lambda"):
        for path in (ROOT / folder).rglob("*.py"):
            # The dates of Lambda's runtimes are a table of all of them.
            dates = ROOT / "scripts" / "deployer" / "preflight" / "runtime.py"
            if path not in (ROOT / "stacks" / "compute" / "runtime.py", ROOT / "scripts" / "locks.py", dates):
                assert not re.search(r"(?<![\d.])3\.1[0-9](?![\d.])", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("name", OLDEST)
def test_the_oldest_python_is_the_same_everywhere(name: str) -> None:
    minors = {
        match.removeprefix("3.") for match in re.findall(OLDEST[name], (ROOT / name).read_text("utf-8"), re.MULTILINE)
    }
    assert minors == {locks.OLDEST_PYTHON.removeprefix("3.")}


def test_ci_tests_the_oldest_python_and_the_runtime() -> None:
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    matrix = ci["jobs"]["check"]["strategy"]["matrix"]["python"]
    assert {locks.OLDEST_PYTHON, PYTHON} <= set(matrix)
    assert len(matrix) > 1


def test_lambda_has_the_runtime() -> None:
    service = boto3.client(
        "lambda", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
    ).meta.service_model
    assert RUNTIME in service.shape_for("Runtime").enum


def test_another_python_version_is_reported_and_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.sys, "version_info", (3, 99, 0))
    assert local.describe_interpreter().startswith(f"The functions run on Python 3.99 here, and on {PYTHON} in Lambda")
    monkeypatch.setattr(local.sys, "version_info", (*map(int, PYTHON.split(".")), 0))
    assert local.describe_interpreter() == ""
