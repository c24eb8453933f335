"""Plans without AWS."""

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.common.errors import UserError
from scripts.deployer import freshness
from scripts.deployer.freshness import check_fresh_once, check_same_sources
from stacks import settings
from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.conftest import Command, add_platform
from tests.deployer.releases import edit_harmlessly

NAME = "payment-platform-dev"


def test_an_offline_plan_compares_with_the_last_deployment_from_this_machine(
    command: Command, aws: Service, settings_file: Any
) -> None:
    add_platform(aws, edit_harmlessly)
    command("dev", "--yes", code=0)
    aws.calls.clear()
    unchanged = command("dev", "--plan", "--offline", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", code=0)
    place = "what was deployed from this machine to account 123456789012 in eu-west-1 on "
    assert unchanged.stdout.startswith(f"{NAME}: no changes compared with {place}")
    assert unchanged.stdout.endswith(" UTC; payment-artifacts is not compared offline\n")
    changed = command("dev", "--plan", "--offline", "--settings", settings_file("dev", log_retention_days=7), code=2)
    assert "Plan: 0 to add, 5 to change, 0 to destroy.\n" in changed.stdout
    assert f"Based on a comparison of the local templates with {place}" in changed.stdout
    assert aws.calls == []


@pytest.mark.parametrize("is_pinned", [False, True])
def test_an_offline_plan_does_not_compare_with_what_was_deployed_elsewhere(
    command: Command, aws: Service, settings_file: Any, *, is_pinned: bool
) -> None:
    add_platform(aws, edit_harmlessly)
    command("dev", "--yes", code=0)
    elsewhere = (
        ["--settings", settings_file("dev.rollout", region="us-east-1")] if is_pinned else ["--region", "us-east-1"]
    )
    planned = command("plan", "dev", "--offline", *elsewhere, code=2).stdout
    assert "Based on the local templates alone, without access to AWS." in planned
    notice = "! the last deployment of dev from this machine was to account 123456789012 in eu-west-1, so this is the"
    assert notice in planned


def test_an_offline_plan_compares_with_a_git_revision(command: Command, aws: Service, settings_file: Any) -> None:
    path = settings_file("dev", log_retention_days=7)
    changed = command("dev", "--plan", "--against", "HEAD", "--settings", path)
    # The plan may contain other uncommitted changes.
    assert (changed.code, "RetentionInDays: 1 → 7" in changed.stdout) == (2, True), changed
    wrong = command("dev", "--plan", "--offline", "--against", "--upload-pack=x", code=1)
    assert wrong.stderr.startswith("deploy: --against --upload-pack=x: git cannot read templates/parent.yaml of it: ")
    assert "fatal" not in wrong.stderr


def test_an_offline_plan_of_an_environment_that_was_never_deployed_shows_everything_as_new(
    command: Command, aws: Service, tmp_path: Path
) -> None:
    text = settings.ENVIRONMENTS_FILE.read_text(encoding="utf-8")
    path = tmp_path / "environments.toml"
    path.write_text(f"{text}\n[qa]\n{text.split('[staging]')[1].split('[prod]')[0]}", encoding="utf-8")
    planned = command("plan", "qa", "--offline", "--settings", str(path), code=2)
    assert "payment-platform-qa" in planned.stdout
    assert "Based on the local templates alone, without access to AWS." in planned.stdout
    notices = [line for line in planned.stdout.splitlines() if line.startswith("! ")]
    assert notices[0].startswith(f"! {path.name}: [qa]: permissions boundaries"), notices
    assert "no deployment of qa is recorded on this machine, so this is the plan of a first one" in notices[1]
    assert re.search(r"^Plan: \d\d+ to add, 0 to change, 0 to destroy\.$", planned.stdout, re.MULTILINE)
    assert aws.calls == []
    # Its boundary is in no template, so it cannot be deployed, and no plan of CloudFormation is made.
    refused = command("plan", "qa", "--settings", str(path), code=1)
    assert "add [qa] there and run `python3 generate.py`" in refused.stderr
    assert aws.calls == []


def test_a_mistake_in_one_environment_does_not_stop_the_plan_of_another(
    command: Command, aws: Service, settings_file: Any
) -> None:
    path = settings_file("prod", log_retention_days="7")
    command("plan", "dev", "--offline", "--settings", path, code=2)
    refused = command("plan", "prod", "--offline", "--settings", path, code=1)
    assert 'environments.toml: [prod] log_retention_days = "7": it must be a number, not text' in refused.stderr


def test_an_offline_plan_refuses_an_invalid_deployment_record(command: Command, aws: Service, tmp_path: Path) -> None:
    (tmp_path / "deployed").mkdir()
    (tmp_path / "deployed" / "dev.json").write_text('{"version": 1}')
    assert "not a valid deployment record; delete it" in command("dev", "--plan", "--offline").stderr
    # Not that nothing was deployed: whether there is a record cannot be looked up.
    unreachable = command("dev", "--plan", "--offline", DEPLOYED_FOLDER=str(tmp_path / ("x" * 300)), code=1)
    assert re.search(r"^deploy: \S+dev\.json: cannot be read.*--against REVISION", unreachable.stderr)


def test_sources_that_are_edited_while_they_are_compared_are_compared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The modules of stacks/ are imported once: what is generated is that of before the edit."""
    root, templates, compared = tmp_path / "root", tmp_path / "templates", tmp_path / "compared"
    source = _write_source(root)
    checks: list[Path] = []

    def check_and_edit(path: Path) -> None:
        checks.append(path)
        source.write_text(f"edit {len(checks)}" if len(checks) < 3 else "edit 2", encoding="utf-8")

    monkeypatch.setattr("scripts.deployer.validate.check_fresh", check_and_edit)
    digests = [check_fresh_once(templates, root, compared) for _ in range(4)]
    assert len(checks) == 3  # the last comparison was of what was there before and after it
    assert digests[2] == digests[3] != digests[0]
    with pytest.raises(UserError, match="was edited since this command began; nothing was changed; run it again"):
        check_same_sources(templates, digests[0], root)
    check_same_sources(templates, digests[3], root)


def test_files_that_others_write_beside_the_sources_are_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.deployer.validate.check_fresh", lambda _: None)
    source = _write_source(tmp_path)
    digest = check_fresh_once(tmp_path, tmp_path, tmp_path / "compared")
    cache = source.parent / "__pycache__"
    cache.mkdir()
    # Python writes bytecode under such a name first; an editor keeps what is not yet saved.
    others = (".data.py.swp", "data.py~", "#data.py#", "4913")
    for path in (cache / "data.cpython-311.pyc.140002830", *map(source.with_name, others)):
        path.touch()
        check_same_sources(tmp_path, digest, tmp_path)
    (deleted := source.with_name("new.py")).touch()
    may_be_file = freshness._may_be_file

    def delete_when_listed(path: Path) -> bool:
        try:
            return may_be_file(path)
        finally:
            if path == deleted:
                path.unlink(missing_ok=True)

    monkeypatch.setattr(freshness, "_may_be_file", delete_when_listed)
    check_same_sources(tmp_path, digest, tmp_path)
    assert not deleted.exists()


def test_a_source_that_this_user_may_not_look_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder that may be listed, and not searched; without it, a function would be deployed in part."""
    source = _write_source(tmp_path)
    read_bytes, find_status = Path.read_bytes, Path.stat

    def deny(path: Path, **options: bool) -> os.stat_result:
        if path == source:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return find_status(path, **options)

    def deny_content(path: Path) -> bytes:
        if path == source:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "stat", deny)
    monkeypatch.setattr(Path, "read_bytes", deny_content)
    with pytest.raises(UserError, match=f"{source}: cannot be read: Permission denied"):
        check_fresh_once(tmp_path, tmp_path, tmp_path / "compared")


def _write_source(root: Path) -> Path:
    """Write the sources of a repository, and return the only file of its stacks."""
    for folder in ("stacks", "lambda", "lambda-layers", "locks"):
        (root / folder).mkdir(parents=True)
    (root / "locks" / "deploy.txt").touch()
    (source := root / "stacks" / "data.py").write_text("before", encoding="utf-8")
    return source
