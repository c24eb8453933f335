"""The recipes of CONTRIBUTING.md, followed in a copy of the tree: each part that is left out is noticed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emitted import ROOT

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = ("stacks", "scripts", "lambda", "lambda-layers", "locks", "templates", "tests", "docs")
SECTION = """
## alarm-gateway-latency

**Means** Charges take more than five seconds on average.

**Customers see** A slow answer.

**First look**

```sh
scripts/payments.sh --env prod metrics
```

**Do** Wait for the gateway.

**Stop when** The alarm is OK.

"""
RUNBOOK_CHECK = "tests/ops/test_runbook.py::test_each_section_is_of_an_alarm_or_a_procedure_and_each_of_these_has_one"
TRIGGER_CHECK = "tests/ops/test_alarms_ring.py::test_every_alarm_has_a_cause"


class Copy:
    """A copy of the tree to follow a recipe in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy(path, root)

    def follow(self, title: str, without: str = "") -> None:
        """Apply the diffs of a recipe, but not those to the file ``without``."""
        recipe = re.search(rf"^### {title}\n(.*?)(?=^##)", CONTRIBUTING, re.MULTILINE | re.DOTALL)
        assert recipe, title
        for step in re.split(r"^\d+\. ", recipe[1], flags=re.MULTILINE)[1:]:
            path = step.split("`")[1]
            for diff in re.findall(r"^   ```diff\n(.*?)^   ```", step, re.MULTILINE | re.DOTALL):
                lines = [line[3:] for line in diff.splitlines(keepends=True)]
                before = "".join(line[1:] for line in lines if line[0] in " -").rstrip("\n")
                after = "".join(line[1:] for line in lines if line[0] in " +").rstrip("\n")
                if path != without:
                    self.replace(path, before, after)

    def replace(self, path: str, before: str, after: str) -> None:
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert text.count(before) == 1, (path, before)
        file.write_text(text.replace(before, after), encoding="utf-8")

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], cwd=self.root, env=os.environ | variables, capture_output=True, text=True,
        )  # fmt: skip

    def generate(self) -> None:
        process = self.run("generate.py")
        assert process.returncode == 0, process.stderr

    def template(self, name: str) -> str:
        return (self.root / "templates" / f"{name}.yaml").read_text(encoding="utf-8")

    def failures(self, *tests: str, **variables: str) -> set[str]:
        """Run tests. Returns the names of those that fail, without their parameters."""
        process = self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, **variables)
        assert process.returncode in (0, 1), process.stdout + process.stderr
        return {name.split("[")[0] for name in re.findall(r"^FAILED (\S+)", process.stdout, re.MULTILINE)}


@pytest.fixture
def tree(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "tree")


@pytest.mark.parametrize(
    ("missing", "noticed_by"),
    [("docs/runbook.md", RUNBOOK_CHECK), ("tests/ops/test_alarms_ring.py", TRIGGER_CHECK), ("", "")],
)
def test_an_alarm_is_a_row_a_runbook_section_and_a_trigger(missing: str, noticed_by: str, tree: Copy) -> None:
    tree.follow("An alarm", without=missing)
    if missing != "docs/runbook.md":
        tree.replace("docs/runbook.md", "\n## alarm-dead-letters\n", f"{SECTION}## alarm-dead-letters\n")
    tree.generate()
    assert tree.failures(RUNBOOK_CHECK, TRIGGER_CHECK) == ({noticed_by} if noticed_by else set())
    if not missing:
        goldens = ("tests/stacks/test_alarms.py", "tests/stacks/test_statements.py")
        assert tree.failures(*goldens, "-k", "have_every_alarm or every_statement", UPDATE_GOLDEN="1") == set()
        assert tree.failures(*goldens, "tests/stacks/test_dashboard.py") == set()
        assert tree.failures("tests/stacks/test_service_role.py", "-k", "prod-create") == set()


def test_a_setting_is_a_declaration_an_input_and_its_use(tree: Copy) -> None:
    tree.follow("A setting")
    tree.generate()
    assert "MaximumRetryAttempts: !Ref ScheduleRetries" in tree.template("compute")
    assert "ScheduleRetries: !Ref ScheduleRetries" in tree.template("parent")
    assert tree.failures("tests/stacks/test_templates.py", "tests/stacks/test_settings.py") == set()


def test_a_setting_that_no_stack_reads_is_noticed(tree: Copy) -> None:
    tree.follow("A setting", without="stacks/compute/stack.py")
    tree.generate()
    assert tree.failures("tests/stacks/test_templates.py", "-k", "cfn_lint")


@pytest.mark.parametrize("has_rights", [True, False])
def test_a_resource_is_a_name_and_a_line_of_its_stack(has_rights: bool, tree: Copy) -> None:
    tree.follow("A resource")
    if not has_rights:
        tree.replace("stacks/names.py", ", RECEIPTS_QUEUE)", ")")
    tree.generate()
    role = "tests/stacks/test_service_role.py"
    expected = set() if has_rights else {f"{role}::test_it_may_do_every_operation_on_every_resource"}
    assert tree.failures(role, "-k", "prod-create") == expected


def test_an_environment_is_a_table_of_settings(tree: Copy) -> None:
    environments = (tree.root / "stacks" / "environments.toml").read_text(encoding="utf-8")
    staging = re.search(r"^\[staging\]\n.*?\n\n", environments, re.MULTILINE | re.DOTALL)
    assert staging
    tree.replace("stacks/environments.toml", staging[0], staging[0] + staging[0].replace("[staging]", "[qa1]"))
    tree.generate()
    assert "policy-payment-boundary-qa1" in tree.template("artifacts")
    assert tree.failures("tests/stacks/test_settings.py", "tests/stacks/test_deployers.py") == set()


def test_templates_are_written_if_the_pictures_cannot_be_drawn(tree: Copy) -> None:
    tree.replace("scripts/pictures/svg.py", "    return words.translate(_ESCAPED)\n", "    return {}[words]\n")
    (tree.root / "templates" / "data.yaml").unlink()
    process = tree.run("generate.py")
    assert process.returncode == 1
    assert process.stdout.startswith("7 templates written")
    assert tree.template("data")
    failure = r"generate\.py: the pictures cannot be drawn: KeyError: .* \(in svg\.py:\d+\)\n"
    assert re.fullmatch(failure, process.stderr)
