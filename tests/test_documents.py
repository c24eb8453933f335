"""The documents show the real output of commands, and their links, paths and commands exist."""

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from scripts.capacity import cli as capacity
from scripts.deployer.cli import deploy, destroy, invoke, outputs, status
from scripts.local.examples import EXAMPLES
from scripts.operator import cli
from scripts.operator.cli import logs
from scripts.simulation import cli as simulation
from scripts.verify import cli as verify
from stacks.monitoring.alarms import list_sections
from tests.deployer.conftest import GOLDEN
from tests.emitted import ROOT, load_template
from tests.mutations.defects import read_source_defects, read_template_defects
from tests.ops.conftest import CHECKED, COMMANDS, EXECUTED, FIGURES, RINGING_ALARMS
from tests.ops.test_runbook import COMMANDS_BY_SECTION
from tests.prove.conftest import FINDINGS


def read_document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


README = read_document("README.md")
PAYMENTS = read_document("docs/payments.md")
MEASUREMENTS = read_document("docs/measurements.md")
AUDIT = read_document("docs/audit.md")
DEPLOYING = read_document("docs/deploying.md")
PROVED = {
    name
    for path in (ROOT / "tests" / "prove").glob("*.py")
    for name in re.findall(r'record_figure\("([^"]+)"', path.read_text(encoding="utf-8"))
}
DOCUMENTS = [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
PROGRAMS = {
    "scripts/capacity.sh": capacity.main,
    "scripts/deploy.sh": deploy.main,
    "scripts/destroy.sh": destroy.main,
    "scripts/invoke.sh": invoke.main,
    "scripts/logs.sh": logs.main,
    "scripts/outputs.sh": outputs.main,
    "scripts/payments.sh": cli.main,
    "scripts/simulate.sh": simulation.main,
    "scripts/status.sh": status.main,
    "scripts/verify.sh": verify.main,
}
FOLDERS = sorted({path.partition("/")[0] for path in TRACKED if "/" in path})
PATH = re.compile(rf"(?<![\w./@-])(?:{'|'.join(map(re.escape, FOLDERS))})/(?:[\w./-]*\w)?")


def list_commands(group: click.Group, prefix: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from list_commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


def remove_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def list_anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub creates for the headings."""
    headings = re.findall(r"^#+ (.+)$", remove_code_blocks(document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def read_code_block(text: str, first_line: str) -> str:
    """Return what follows ``first_line`` in the code block that contains it."""
    return text.partition(f"{first_line}\n")[2].partition("```")[0]


def contains_in_order(text: str, excerpt: str) -> bool:
    """Whether ``text`` contains the parts of ``excerpt``, between its lines of three dots, in their order."""
    position = 0
    for part in re.split(r"^\.\.\.\n", excerpt, flags=re.MULTILINE):
        position = text.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return True


def remove_line_numbers(text: str) -> str:
    return re.sub(r"\.(py|yaml):\d+", r".\1", text)


@pytest.mark.parametrize("command", list(list_commands(cli.main)))
def test_the_documents_show_every_command_of_the_operator(command: str) -> None:
    assert re.search(rf"payments\.sh --env dev {command}\b", PAYMENTS)


@pytest.mark.parametrize("description", [example.description for example in EXAMPLES])
def test_the_documents_show_every_payment_of_the_demonstration(description: str) -> None:
    assert re.search(rf"^{re.escape(description)} +\d", PAYMENTS, re.MULTILINE)


@pytest.mark.parametrize("figure", [*FIGURES, *sorted(PROVED), *FINDINGS])
def test_the_documents_show_every_figure_under_its_name(figure: str) -> None:
    assert re.search(rf"^{re.escape(figure)} +[\d,]+$", MEASUREMENTS, re.MULTILINE)


def test_the_documents_show_a_plan_as_it_is() -> None:
    output = (GOLDEN / "plan_with_loss.txt").read_text(encoding="utf-8")
    plan = output[output.index("! Data/PaymentLedger") :]
    assert f"$ scripts/deploy.sh plan dev\n{plan}```" in DEPLOYING
    excerpt = read_code_block(README, "$ scripts/deploy.sh plan dev")
    assert excerpt.count("\n") > 5
    assert contains_in_order(plan, excerpt)
    failed = (GOLDEN / "failed_update.txt").read_text(encoding="utf-8")
    # Line numbers are ignored, because every edit of the stack changes them.
    failure = remove_line_numbers(failed[failed.index("✗") :])
    assert f"```text\n{failure}```" in remove_line_numbers(DEPLOYING)


@pytest.mark.parametrize("first_line", ["Payment, and its path through the workflow", "...\n14:27:04.177"])
def test_the_readme_shows_parts_of_the_complete_output(first_line: str) -> None:
    block = next(block for block in re.findall(r"```text\n(.*?)```", README, re.DOTALL) if block.startswith(first_line))
    assert contains_in_order(PAYMENTS, block)


def test_the_readme_states_figures_that_the_complete_output_contains() -> None:
    rows = re.findall(r"^\| [^|]+ \| ([\d,.]+)(?: s)? \| `make ([a-z-]+)` \|$", README, re.MULTILINE)
    assert len(rows) == README.partition("## Measured")[2].partition("\n## ")[0].count("`make ")
    for figure, target in rows:
        assert re.search(rf"(?<![\d,.]){re.escape(figure)}(?![\d])", AUDIT + MEASUREMENTS), (figure, target)


def list_counts() -> list[tuple[str, str]]:
    """Return each document with a line of it, with the counts as they are, that changes with an alarm or a defect."""
    commands = [command for section in COMMANDS_BY_SECTION.values() for command in section]
    executed = sum(command.is_executable for command in commands)
    planted = len(read_template_defects())
    all_planted = planted + len(read_source_defects())
    resources = load_template("monitoring")["Resources"].values()
    metric_alarms = [resource for resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm"]
    unconditional = [alarm for alarm in metric_alarms if "Condition" not in alarm]
    alarms, drawn = len(list_sections()), f"{len(metric_alarms)} alarms, dashboard"
    figures = {"alarms": alarms, RINGING_ALARMS: alarms, COMMANDS: len(commands), EXECUTED: executed}
    figures[CHECKED] = len(commands) - executed
    return [
        *(("docs/measurements.md", f"\n{name:<36} {count:>7,}\n") for name, count in figures.items()),
        ("docs/measurements.md", f"mutations: caught {all_planted} / planted {all_planted}\n"),
        ("docs/audit.md", f"mutations: caught {planted}, planted {planted}\n"),
        ("docs/architecture.md", drawn),
        ("README.md", drawn),
        ("README.md", f"| alarms triggered, notified, and back to OK | {alarms} |"),
        ("README.md", f"| commands of the runbook, for when an alarm fires, tested | {len(commands)} |"),
        ("README.md", f"| defects planted in templates and sources, each caught by a test | {all_planted} |"),
        ("CHANGELOG.md", f"{len(metric_alarms)} metric alarms ({len(unconditional)} without backups)"),
    ]


def list_wrong_counts(read: Callable[[str], str]) -> list[str]:
    return [f"{name}: write {line.strip()!r}" for name, line in list_counts() if line not in read(name)]


def test_the_documents_count_what_can_be_counted_without_a_run() -> None:
    wrong_counts = list_wrong_counts(read_document)
    assert not wrong_counts, "\n".join(["counts of documents are wrong:", *wrong_counts])


def test_every_wrong_count_is_named_with_its_file_and_what_to_write() -> None:
    advice = "\n".join(list_wrong_counts(lambda name: re.sub(r"\d", "0", read_document(name))))
    for name in ("README.md", "CHANGELOG.md", "docs/architecture.md", "docs/audit.md", "docs/measurements.md"):
        assert re.search(rf"^{re.escape(name)}: write .*[1-9]", advice, re.MULTILINE), name
    assert advice.count("\n") + 1 == len(list_counts())


def test_the_readme_is_short() -> None:
    diagram = re.search(r"^```mermaid\n.*?^```$", README, re.MULTILINE | re.DOTALL)
    assert diagram
    assert README.replace(diagram[0], "").count("\n") <= 180, "README.md is for a first look: move details to docs/"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_each_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", remove_code_blocks(document.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        if anchor:
            assert anchor in list_anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_each_path_exists(document: Path) -> None:
    """This covers prose and commands; a module without a path may be anywhere in the repository."""
    text = document.read_text(encoding="utf-8")
    new_files = re.findall(r"^\d+\. `([^`]+)`, a new file", text, re.MULTILINE)
    missing = [path for path in PATH.findall(text) if path not in new_files and not (ROOT / path).exists()]
    names = {path.rpartition("/")[2] for path in TRACKED}
    missing += [name for name in re.findall(r"`(\w+\.(?:py|sh|toml|cfg))`", text) if name not in names]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_each_target_of_the_makefile_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read_document("Makefile"), re.MULTILINE))
    text = document.read_text(encoding="utf-8")
    commands = re.findall(r"`make ([a-z-]+)", text)
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        commands += [
            name for line in re.findall(r"^make ([a-z -]*[a-z])", block, re.MULTILINE) for name in line.split()
        ]
    assert set(commands) <= targets


def list_program_calls(text: str) -> Iterator[str]:
    """Yield the calls of the programs in code blocks, without the remarks beside them, and in prose."""
    for block in re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if call := re.match(r"(?:\$ )?(scripts/\w+\.sh(?: \S+)+)", re.sub(r"(?<= ) +(?=--)", "", line)):
                yield call[1]
    yield from re.findall(r"`(scripts/\w+\.sh\s[^`]+)`", remove_code_blocks(text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_each_call_of_a_program_is_one_that_it_accepts(document: Path) -> None:
    """With ``--help`` after the arguments, a program only parses its options and prints the help."""
    for call in list_program_calls(document.read_text(encoding="utf-8")):
        program, *arguments = shlex.split(re.sub(r"[\[\]]", "", call))
        result = CliRunner().invoke(PROGRAMS[program], [*arguments, "--help"])
        assert result.exit_code == 0, f"{call}: {result.output}"


def test_a_call_that_a_program_does_not_accept_is_noticed() -> None:
    text = "```sh\nscripts/deploy.sh dev --frobnicate   a remark\n```\n`scripts/status.sh\ndev`\n"
    calls = list(list_program_calls(text))
    assert calls == ["scripts/deploy.sh dev --frobnicate", "scripts/status.sh\ndev"]
    assert CliRunner().invoke(deploy.main, ["dev", "--frobnicate", "--help"]).exit_code != 0
