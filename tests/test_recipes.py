"""The recipes of CONTRIBUTING.md, followed in a copy of the repository: the tests notice each omitted step."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.emitted import ROOT

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = ("stacks", "scripts", "lambda", "lambda-layers", "locks", "templates", "tests", "docs", ".github", ".ci")
# Not those that a reader has added: the policies of CloudFormation's role have room for few.
OWN_TABLES = {"bootstrap", "dev", "dev.rollout", "staging", "prod", "prod.rollout", "local", "local.rollout"}
RUNBOOK_CHECK = "tests/ops/test_runbook.py::test_each_section_is_of_an_alarm_or_a_procedure_and_each_of_these_has_one"
TRIGGER_CHECK = "tests/ops/test_alarms_ring.py::test_every_alarm_has_a_cause"
RIGHTS_CHECK = "tests/stacks/test_service_role.py::test_the_role_may_do_every_operation_on_every_resource"
DEPLOYED = "tests/stacks/test_deployed.py"
ALARMS, STATEMENTS = "tests/stacks/test_alarms.py", "tests/stacks/test_statements.py"
# What a reader may write instead of the recipes' names, also in upper case and as a logical id.
OTHER_NAMES = {
    "refunds": "appeals",
    "statements_bucket": "invoices_bucket",
    "payment-statements": "payment-invoices",
    '"Statements"': '"Invoices"',
    "Data/Statements": "Data/Invoices",
    "receipts": "vouchers",
    "GatewayLatencyAlarm": "SlowGatewayAlarm",
    "alarm-gateway-latency": "alarm-slow-gateway",
    "schedule_retries": "schedule_attempts",
    "ScheduleRetries": "ScheduleAttempts",
    "qa1": "qa",
}
# Importing hypothesis takes longer than most of these tests.
PLUGINS_OFF = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
(UPDATE_COMMAND,) = re.findall(r"UPDATE_GOLDEN=1 \.venv/bin/python -m pytest ([^`]*in_the_tables[^`]*)`", CONTRIBUTING)
UPDATE = shlex.split(UPDATE_COMMAND)
# Those that a recipe concerns, but cfn-lint's, which takes seconds and judges the committed templates.
(CHECK_COMMAND,) = re.findall(
    r"^```sh\n\.venv/bin/python -m pytest (.* \\\n.*?)^```", CONTRIBUTING, re.MULTILINE | re.DOTALL
)
CHECKS_OF_ALL_RECIPES = tuple(shlex.split(CHECK_COMMAND.replace("\\\n", "")))
# A relative folder is not the one of the pictures, so none are drawn.
GENERATE_AND_TEST = (
    "import generate, pytest, sys\nsys.exit(generate.main(['--output', 'templates']) or pytest.main(sys.argv[1:]))"
)


def rename_everywhere(recipes: str) -> str:
    for name, other in OTHER_NAMES.items():
        for write in (str, str.upper, str.capitalize) if name.islower() else (str,):
            recipes = recipes.replace(write(name), write(other))
    return recipes


class Copy:
    """A copy of the repository, in which a test follows recipes, ``with_other_names`` than theirs."""

    def __init__(self, root: Path, *, with_other_names: bool = False) -> None:
        self.root, self.recipes = root, CONTRIBUTING
        if with_other_names:
            self.recipes = rename_everywhere(CONTRIBUTING)
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.iterdir():
            # The .git of a linked worktree is a file: with it, git would act on the repository.
            if path.is_file() and path.name != ".git":
                shutil.copy(path, root)

    def drop_other_environments(self) -> None:
        """Remove the environments that a reader has added, from the settings and with what is generated of them."""
        file = self.root / "stacks" / "environments.toml"
        head, *tables = re.split(r"^(?=\[)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        own_tables = [table for table in tables if table[1:].partition("]")[0] in OWN_TABLES]
        file.write_text("".join([head, *own_tables]), encoding="utf-8")

    def follow_recipe(self, title: str, without: str = "") -> None:
        """Apply the diffs of a recipe, but not those to the file ``without``."""
        recipe = re.search(rf"^### {title}\n(.*?)(?=^##)", self.recipes, re.MULTILINE | re.DOTALL)
        assert recipe, title
        for step in re.split(r"^\d+\. ", recipe[1], flags=re.MULTILINE)[1:]:
            path = step.split("`")[1]
            for diff in re.findall(r"^   ```diff\n(.*?)^   ```", step, re.MULTILINE | re.DOTALL):
                lines = [line[3:] for line in diff.splitlines(keepends=True)]
                if path != without and not self.is_applied(path, lines, title):
                    self.apply_diff(path, lines)

    def follow_all_recipes(self) -> None:
        self.drop_other_environments()
        for title in re.findall(r"^### (.*)", CONTRIBUTING.split("\n## Recipes\n")[1].split("\n## ")[0], re.MULTILINE):
            self.follow_recipe(title)
        assert self.list_failures(*UPDATE, UPDATE_GOLDEN="1") == set()

    def is_applied(self, path: str, lines: list[str], title: str) -> bool:
        """Whether the lines of a diff have been changed. Skips the test if lines that it only adds are there."""
        text = (self.root / path).read_text(encoding="utf-8") if (self.root / path).exists() else ""
        has_all = all(line[1:].rstrip("\n") in text.splitlines() for line in lines if line[0] == "+")
        if has_all and not any(line[0] == "-" for line in lines):
            pytest.skip(f"{path} already has what the recipe {title!r} adds")
        return has_all

    def apply_diff(self, path: str, lines: list[str]) -> None:
        before = "".join(line[1:] for line in lines if line[0] in " -").rstrip("\n")
        after = "".join(line[1:] for line in lines if line[0] in " +").rstrip("\n")
        if before:
            self.replace_text(path, before, after)
        else:
            (self.root / path).write_text(f"{after}\n", encoding="utf-8")

    def replace_text(self, path: str, before: str, after: str) -> None:
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert text.count(before) == 1, (
            f"CONTRIBUTING.md: its lines are not in {path} any more; rewrite the diff: {before}"
        )
        file.write_text(text.replace(before, after), encoding="utf-8")

    def run_python(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command], cwd=self.root, env=os.environ | variables, capture_output=True, text=True,
        )  # fmt: skip

    def list_failures(self, *tests: str, **variables: str) -> set[str]:
        """Generate the templates, and run tests in the same process. Returns the failed ones, without parameters."""
        process = self.run_python("-c", GENERATE_AND_TEST, *PLUGINS_OFF, *tests, **variables)
        assert process.returncode in (0, 1), process.stdout + process.stderr
        assert process.stdout.startswith("7 templates written"), process.stdout + process.stderr
        return {name.split("[")[0] for name in re.findall(r"^FAILED (\S+)", process.stdout, re.MULTILINE)}

    def read_template(self, name: str) -> str:
        return (self.root / "templates" / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "tree")


@pytest.mark.parametrize(
    ("missing", "noticed_by"), [("docs/runbook.md", RUNBOOK_CHECK), ("tests/ops/test_alarms_ring.py", TRIGGER_CHECK)]
)
def test_an_alarm_without_a_runbook_section_or_a_trigger_is_noticed(missing: str, noticed_by: str, tree: Copy) -> None:
    tree.follow_recipe("An alarm", without=missing)
    assert tree.list_failures(RUNBOOK_CHECK, TRIGGER_CHECK) == {noticed_by}


@pytest.mark.nightly
def test_an_alarm_is_a_row_a_runbook_section_and_a_trigger(tree: Copy) -> None:
    tree.follow_recipe("An alarm")
    assert tree.list_failures(*UPDATE, UPDATE_GOLDEN="1") == set()
    assert tree.list_failures(RUNBOOK_CHECK, TRIGGER_CHECK) == set()
    assert (
        tree.list_failures(ALARMS, STATEMENTS, "tests/stacks/test_dashboard.py", f"{RIGHTS_CHECK}[prod-create]")
        == set()
    )


def test_a_setting_is_a_declaration_an_input_and_its_use(tree: Copy) -> None:
    tree.follow_recipe("A setting")
    # cfn-lint takes seconds, and judges the committed templates.
    wiring = ("tests/stacks/test_templates.py", "tests/stacks/test_settings.py", "-k", "not cfn_lint")
    assert tree.list_failures(*wiring) == set()
    assert "MaximumRetryAttempts: !Ref ScheduleRetries" in tree.read_template("workflow")
    assert "ScheduleRetries: !Ref ScheduleRetries" in tree.read_template("parent")


def test_a_setting_that_no_stack_reads_is_noticed(tree: Copy) -> None:
    tree.follow_recipe("A setting", without="stacks/workflow/stack.py")
    assert tree.list_failures("tests/stacks/test_templates.py", "-k", "every_parameter_of_the_parent")


@pytest.mark.nightly
def test_a_queue_is_a_name_a_line_of_its_stack_and_its_key(tree: Copy) -> None:
    tree.follow_recipe("A queue")
    assert tree.list_failures(f"{RIGHTS_CHECK}[prod-create]", DEPLOYED) == set()


@pytest.mark.nightly
@pytest.mark.slow
def test_a_bucket_whose_type_has_no_rights_is_noticed(tree: Copy) -> None:
    tree.follow_recipe("A bucket", without="stacks/artifacts/deployers/service_rights.py")
    assert tree.list_failures(f"{RIGHTS_CHECK}[prod-create]") == {RIGHTS_CHECK}


@pytest.mark.nightly
def test_a_queue_whose_name_does_not_end_as_one_gets_no_rights(tree: Copy) -> None:
    tree.follow_recipe("A queue")
    for path in ("stacks/names.py", "stacks/data/stack.py"):
        tree.replace_text(path, "REFUNDS_QUEUE", "REFUNDS")
    assert tree.list_failures(f"{RIGHTS_CHECK}[prod-create]") == {RIGHTS_CHECK}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("with_other_names", "checks"),
    [
        pytest.param(False, (f"{RIGHTS_CHECK}[prod-create]", DEPLOYED), id="as they are"),
        pytest.param(True, CHECKS_OF_ALL_RECIPES, id="with other names", marks=pytest.mark.nightly),
    ],
)
def test_all_recipes_can_be_followed_in_one_tree(
    with_other_names: bool, checks: tuple[str, ...], tmp_path: Path
) -> None:
    tree = Copy(tmp_path / "tree", with_other_names=with_other_names)
    tree.follow_all_recipes()
    assert tree.list_failures(*checks) == set()
    function, environment = ("vouchers", "qa") if with_other_names else ("receipts", "qa1")
    assert f"Handler: handlers.{function}.handler" in tree.read_template("compute")
    assert f"policy-payment-boundary-{environment}" in tree.read_template("artifacts")


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_whoever_has_followed_the_recipes_passes_the_fast_tests(tree: Copy) -> None:
    """Apart from the numbers in the documents, which the recipe of an alarm announces."""
    tree.follow_all_recipes()
    for command in (["generate.py"], ["-m", "scripts.pictures.scale"], ["-m", "ruff", "format", "--quiet", "."]):
        process = tree.run_python(*command, PYTHONPATH=f"{tree.root}:{tree.root / 'lambda'}")
        assert process.returncode == 0, process.stderr
    # Some tests start the commands, and some ask git for the files of the repository.
    (tree.root / ".venv").symlink_to(ROOT / ".venv")
    for arguments in ("init --quiet", "add --all", "-c user.name=a -c user.email=a@b.example commit --quiet -m a"):
        subprocess.run(["git", *arguments.split()], cwd=tree.root, check=True)
    process = tree.run_python(
        *("-m", "pytest", "-n", "2", "--dist", "loadgroup", "-m", "not slow and not nightly"),
        *("--deselect", "tests/test_documents.py::test_the_documents_count_what_can_be_counted_without_a_run"),
    )
    failures = re.findall(r"^(?:FAILED|ERROR) .*", process.stdout, re.MULTILINE)
    assert (process.returncode, failures) == (0, []), process.stdout[-3000:]


def test_a_recipe_whose_result_the_repository_has_is_not_followed_again(tree: Copy) -> None:
    tree.follow_recipe("A queue")
    with pytest.raises(pytest.skip.Exception, match="already has what the recipe 'A queue' adds"):
        tree.follow_recipe("A queue")


@pytest.mark.nightly
@pytest.mark.parametrize("missing", ["tests/stacks/access.py", "lambda/handlers/__init__.py"])
def test_a_step_of_the_function_that_is_left_out_is_named_by_the_check(missing: str, tree: Copy) -> None:
    tree.follow_recipe("A function", without=missing)
    process = tree.run_python(
        "-c", GENERATE_AND_TEST, *PLUGINS_OFF, "tests/stacks/test_access.py", "tests/test_maps.py"
    )
    assert process.returncode == 1
    assert re.search(rf"^E .*{re.escape(missing)}", process.stdout, re.MULTILINE), process.stdout


def test_an_environment_is_a_table_of_settings(tree: Copy) -> None:
    tree.follow_recipe("An environment")
    assert tree.list_failures("tests/stacks/test_settings.py", "tests/stacks/test_deployers.py") == set()
    assert "policy-payment-boundary-qa1" in tree.read_template("artifacts")


@pytest.mark.parametrize(
    ("declaration", "reason"),
    [
        ('sqs.QueuePolicy("Receipts")', "Receipts: the property PolicyDocument of AWS::SQS::QueuePolicy is missing"),
        ('sqs.Queue("Receipts", Colour="red")', "AWS::SQS::Queue object does not support attribute Colour"),
        ('sqs.Queue("Receipts", DelaySeconds="x")', "Receipts.DelaySeconds .* 'x' is not a valid integer"),
        ('sqs.Queue("DeadLetters")', 'DeadLetters: duplicate key "DeadLetters" detected'),
    ],
)
def test_a_resource_that_troposphere_refuses_is_one_line_with_its_place(
    declaration: str, reason: str, tree: Copy
) -> None:
    queue = '    queue = template.add_resource(_dead_letter_queue("DeadLetters", names.QUEUE, inputs))\n'
    tree.replace_text("stacks/data/stack.py", queue, f"{queue}    template.add_resource({declaration})\n")
    lines = (tree.root / "stacks" / "data" / "stack.py").read_text(encoding="utf-8").splitlines()
    line = lines.index(f"    template.add_resource({declaration})") + 1
    process = tree.run_python("generate.py", "--check")
    assert (process.returncode, process.stdout) == (1, "")
    assert re.fullmatch(rf"generate\.py: stacks/data/stack\.py:{line}: {reason}\n", process.stderr), process.stderr


def test_templates_are_written_if_the_pictures_cannot_be_drawn(tree: Copy) -> None:
    tree.replace_text("scripts/pictures/svg.py", "    return words.translate(_ESCAPED)\n", "    return {}[words]\n")
    (tree.root / "templates" / "data.yaml").unlink()
    process = tree.run_python("generate.py")
    assert process.returncode == 1
    assert process.stdout.startswith("7 templates written")
    assert tree.read_template("data")
    failure = r"generate\.py: the pictures cannot be drawn: KeyError: .* \(in svg\.py:\d+\)\n"
    assert re.fullmatch(failure, process.stderr)
