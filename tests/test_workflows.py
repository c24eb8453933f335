"""GitHub's workflows: the steps that run before and with credentials, and their permissions.

zizmor judges what any workflow should be (`make audit`). These tests check what this repository's workflows promise.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.compute.runtime import PYTHON
from tests.emitted import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.yml")}
JOBS = [(name, title, job) for name, workflow in WORKFLOWS.items() for title, job in workflow["jobs"].items()]
DEPLOY = WORKFLOWS["deploy.yml"]["jobs"]


def name_action(step: dict[str, Any]) -> str:
    return str(step.get("uses", "")).partition("@")[0]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yml")), ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_says_its_release(path: Path) -> None:
    uses = re.findall(r"^ +(?:- )?uses: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert uses
    for text in uses:
        assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", text), text


def test_an_action_has_one_commit_everywhere() -> None:
    pins = {step["uses"] for _, _, job in JOBS for step in job["steps"] if "uses" in step}
    assert len(pins) == len({pin.partition("@")[0] for pin in pins})


@pytest.mark.parametrize("title", ["plan", "deploy"])
def test_only_the_deploy_lock_is_installed_and_before_any_credential_is_assumed(title: str) -> None:
    """Fails with the two steps in reverse order, and with `make .venv/installed`."""
    steps = DEPLOY[title]["steps"]
    (assumed,) = (n for n, step in enumerate(steps) if name_action(step) == "aws-actions/configure-aws-credentials")
    before = [step["run"] for step in steps[:assumed] if "run" in step]
    assert before == ["make .venv/deploy-installed"]
    after = [step["run"] for step in steps[assumed + 1 :]]
    assert all(re.search(r"scripts/deploy\.sh (plan )?prod\b", run) for run in after)
    assert not re.search(r"\b(pip|npm|make|curl|local)\b", "\n".join(after))
    # Other workflows can write to a cache.
    (python,) = (step for step in steps if name_action(step) == "actions/setup-python")
    assert "cache" not in python["with"]


def test_the_deploying_jobs_run_on_the_functions_python() -> None:
    for title in ("plan", "deploy"):
        (python,) = (step for step in DEPLOY[title]["steps"] if name_action(step) == "actions/setup-python")
        assert python["with"]["python-version"] == PYTHON


def test_every_job_has_the_rights_it_needs_and_no_more() -> None:
    rights = {title: job.get("permissions", WORKFLOWS[name]["permissions"]) for name, title, job in JOBS}
    assert rights == {
        "check": {"contents": "read"},
        "exhaust": {"contents": "read"},
        "plan": {"contents": "read", "id-token": "write"},
        # This job runs no code of the pull request.
        "comment": {"pull-requests": "write"},
        "deploy": {"contents": "read", "id-token": "write"},
    }
    assert not [step for step in DEPLOY["comment"]["steps"] if "uses" in step]


def test_no_job_keeps_the_token_that_checked_it_out() -> None:
    checkouts = [step for _, _, job in JOBS for step in job["steps"] if name_action(step) == "actions/checkout"]
    assert len(checkouts) == 4
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_job_that_tests_the_release_before_has_the_whole_history() -> None:
    """Without it, the test with the release before is skipped."""
    jobs = {title: job["steps"] for _, title, job in JOBS}
    (checkout,) = (step for step in jobs["exhaust"] if name_action(step) == "actions/checkout")
    assert checkout["with"]["fetch-depth"] == 0


def test_what_a_push_samples_runs_in_whole_each_night() -> None:
    """The targets that `make check` leaves out or takes samples of."""
    (job,) = WORKFLOWS["nightly.yml"]["jobs"].values()
    assert job["strategy"]["matrix"]["target"] == ["test-all", "prove", "faults", "conformance", "mutate"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ['make "$TARGET"']
    assert job["steps"][-1]["env"] == {"TARGET": "${{ matrix.target }}"}
    (python,) = (step for step in job["steps"] if name_action(step) == "actions/setup-python")
    assert python["with"]["python-version"] == PYTHON


def test_no_script_contains_an_expression() -> None:
    """An expression may contain text of a pull request's author, such as a branch name, which would be executed."""
    assert not [step["run"] for _, _, job in JOBS for step in job["steps"] if "${{" in step.get("run", "")]


def test_only_main_deploys_and_only_in_the_environment_that_asks_for_approval() -> None:
    # YAML 1.1 reads `on` as true.
    assert WORKFLOWS["deploy.yml"][True]["push"] == {"branches": ["main"]}
    assert DEPLOY["deploy"]["environment"] == "prod"
    assert "github.event_name == 'push'" in DEPLOY["deploy"]["if"]
    assert "github.event.pull_request.head.repo.full_name == github.repository" in DEPLOY["plan"]["if"]
