"""Everything is installed from a lock, by its hash; the locks are complete, and contain no URL and no path."""

import configparser
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts import locks
from tests.emitted import ROOT

PIN = re.compile(
    r"([a-z0-9-]+)(?:\[[a-z,]+\])?==([^\s;]+)(?: ; ([^\\]+?))?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)
NAMES = sorted(path.stem for path in locks.LOCKS.glob("*.txt"))


def read_extras() -> dict[str, list[Requirement]]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return {
        extra: [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]
        for extra, text in setup["options.extras_require"].items()
    }


def read_separate_requirements() -> dict[str, list[Requirement]]:
    return {
        path.stem: [Requirement(line) for line in path.read_text().splitlines() if line and not line.startswith("#")]
        for path in locks.LOCKS.glob("*.in")
    }


REQUIRED = read_extras() | read_separate_requirements()


def read_pins(name: str) -> Iterator[tuple[str, Version, Requirement]]:
    for project, version, marker, _ in PIN.findall((locks.LOCKS / f"{name}.txt").read_text()):
        yield project, Version(version), Requirement(f"{project}=={version}" + (f"; {marker}" if marker else ""))


def find_pinned_versions(name: str) -> dict[str, Version]:
    """The versions that pip on this interpreter installs."""
    return {
        project: version for project, version, pin in read_pins(name) if pin.marker is None or pin.marker.evaluate()
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_holds_versions_with_hashes_and_nothing_else(name: str) -> None:
    """A lock contains no options, such as the URL of an index, no paths, and no requirement without a hash."""
    text = (locks.LOCKS / f"{name}.txt").read_text()
    assert PIN.sub("", text) == locks.HEADER
    assert find_pinned_versions(name)


def test_each_extra_and_each_environment_of_its_own_has_a_lock() -> None:
    assert set(NAMES) == set(REQUIRED)
    assert set(locks.EXTRAS) == set(read_extras())


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_every_requirement_is_locked_in_its_required_version(name: str) -> None:
    """Fails with a release that setup.cfg does not allow, and with a requirement that is not locked."""
    pinned = find_pinned_versions(name)
    for requirement in REQUIRED[name]:
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, requirement


@pytest.mark.parametrize("name", locks.EXTRAS[:3])
def test_a_lock_has_all_that_its_packages_need(name: str) -> None:
    """By the metadata of the installed distributions; pip would refuse an incomplete lock only when it installs."""
    pinned, pending, visited = find_pinned_versions(name), list(REQUIRED[name]), set()
    while pending:
        requirement = pending.pop()
        project = canonicalize_name(requirement.name)
        assert pinned[project] in requirement.specifier, requirement
        for extra in {"", *requirement.extras}:
            if (project, extra) not in visited:
                visited.add((project, extra))
                needs = map(Requirement, metadata.requires(project) or [])
                pending += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    assert {project for project, _ in visited} == set(pinned)


def test_the_locks_of_one_environment_agree() -> None:
    """This ensures that the deployed versions are the tested ones."""
    versions: dict[str, Version] = {}
    for name in locks.EXTRAS:
        for project, version in find_pinned_versions(name).items():
            assert versions.setdefault(project, version) == version, f"{name}: {project}"


def test_the_installed_packages_match_the_lock() -> None:
    for name in ("deploy", "local", "dev"):
        for project, version in find_pinned_versions(name).items():
            assert Version(metadata.version(project)) == version, project


def test_make_installs_from_locks_only() -> None:
    """Fails with a `pip install` that names a package."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (install,) = re.findall(r"^INSTALL := (.+)$", text, re.MULTILINE)
    assert {"--require-hashes", "--only-binary"} <= set(install.split())
    assert [line for line in text.splitlines() if "pip install" in line] == [f"INSTALL := {install}"]
    commands = [line for line in text.splitlines() if "$(INSTALL)" in line]
    assert len(commands) >= 7
    for command in commands:
        words = command.split("$(INSTALL)")[1].split()
        assert "--requirement" in words
        options = ("--requirement", "--no-build-isolation", "--no-binary", "localstripe")
        assert all(word in options or re.fullmatch(r"locks/[a-z]+\.txt", word) for word in words), command
    assert set(re.findall(r"--requirement locks/([a-z]+)\.txt", text)) == set(NAMES)


def test_deploying_and_operating_need_the_deploy_lock_alone() -> None:
    """The process finds no other packages. Fails with an import of requests."""
    allowed = {*find_pinned_versions("deploy"), "pip", "setuptools"}
    owners = metadata.packages_distributions()
    absent = [module for module, names in owners.items() if not {canonicalize_name(name) for name in names} & allowed]
    assert {"requests", "ministack", "pytest"} <= set(absent)
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {set(absent)}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
sys.path.append("lambda")
import scripts.deployer.cli.deploy, scripts.deployer.cli.destroy, scripts.deployer.cli.outputs, scripts.operator.cli
import scripts.deployer.cli.status, scripts.deployer.layer, scripts.deployer.planning, scripts.deployer.sbom
import cfnlint.config, cfnlint.runner, generate, scripts.deployer.validate, scripts.pictures, stacks.render
assert stacks.render.render_files("json")
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    ("module", "arguments", "target"),
    [("platform", ["dev"], "deploy-installed"), ("platform", ["local"], "installed"),
     ("platform", ["--env", "local"], "installed"), ("platform", ["--env=local"], "installed"),
     ("platform", ["--env", "localhost"], "deploy-installed"), ("scripts.simulation", ["--help"], "installed")],
)  # fmt: skip
def test_commands_install_what_they_need(module: str, arguments: list[str], target: str, tmp_path: Path) -> None:
    """The emulator is for the environment ``local`` only, and SimPy for the simulation."""
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n')
    make.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    # The module ``platform`` does nothing to its arguments.
    subprocess.run([ROOT / "scripts" / "python.sh", module, *arguments], env=environment, check=True)
    assert (tmp_path / "arguments").read_text().split()[-1] == f".venv/{target}"


def test_a_stale_lock_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for lock, text in locks.read_locks(locks.LOCKS).items():
        (tmp_path / lock).write_text(text)
    monkeypatch.setattr(locks, "LOCKS", tmp_path)
    resolved = locks.read_locks(tmp_path)
    monkeypatch.setattr(locks, "write_locks", lambda _, **__: resolved)
    assert locks.main(["--check"]) == 0
    (tmp_path / "dev.txt").write_text(locks.HEADER)
    (tmp_path / "uv.txt").unlink()
    assert locks.main(["--check"]) == 1
    assert capsys.readouterr().err == "make lock: stale: locks/dev.txt, locks/uv.txt; run `make lock`\n"
    assert (tmp_path / "dev.txt").read_text() == locks.HEADER
    assert locks.main([]) == 0
    assert locks.read_locks(tmp_path) == resolved


def test_a_lock_without_uv_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(locks, "UV", ROOT / "nowhere" / "uv")
    assert locks.main(["--check"]) == 1
    assert capsys.readouterr().err.endswith("nowhere/uv: not installed; `make lock` installs it\n")
