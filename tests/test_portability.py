"""What deploys and operates uses nothing that only Linux, GNU's tools or a new bash have.

The emulator and what starts it, in scripts/local, may.
"""

import re
from pathlib import Path

import pytest

from tests.emitted import ROOT
from tests.test_documents import DOCUMENTS, TRACKED, remove_code_blocks

# Each with an example. https://pubs.opengroup.org/onlinepubs/9799919799/utilities/ lists what all systems have.
SHELL_KINDS = {
    "GNU date": (r"\bdate [^|)]*(-d|--date)\b", "date -u -d '1 hour ago'"),
    "GNU sed": (r"\bsed (-\w+ )*-\w*i(?! ?\'\')", "sed -i s/a/b/ file"),
    "GNU stat": (r"\bstat (-c|--format)", "stat -c %s file"),
    "GNU readlink": (r"\breadlink -\w*[fem]\b", "readlink -f file"),
    "GNU grep": (r"\bgrep -\w*P", "grep -oP x"),
    "GNU cp": (r"\bcp -\w*[tu]\b|\bcp --", "cp --parents a b"),
    "GNU base64": (r"\bbase64 (-w|--wrap)", "base64 -w0"),
    "GNU xargs": (r"\bxargs (-\w+ )*(-\w*[rd]\b|--)", "xargs -r rm"),
    "a program of Linux": (r"(^|[|;&(] *)(tac|nproc|sha256sum|setsid|ip|free) ", "cat a | tac b"),
    "a bash of version 4": (r"\b(mapfile|readarray)\b|declare -\w*A|\$\{\w+(,,|\^\^|@\w)|&>>|\|&", "mapfile -t names"),
    "a make of version 4": (r"(?<!,)--output-sync|\$\(file |^\w+ *!=", "make --output-sync"),
}
PYTHON_KINDS = {
    "a file of Linux": (r"[\"\']/(proc|sys|dev/shm)/", 'Path("/proc/self")'),
    "a call of Linux": (
        r"\b(os\.(sched_\w+|memfd_create|pidfd_open|eventfd|setns|unshare)|select\.epoll|signal\.(SIGPWR|SIGRTMIN))\b",
        "os.sched_getaffinity(0)",
    ),
}
# Where a file is missing, these do without.
GUARDED = {"scripts/deployer/abandoned.py"}
SHELL_FILES = ["Makefile", *(path for path in TRACKED if path.startswith("scripts/") and path.endswith(".sh"))]
PYTHON_FILES = [
    path
    for path in TRACKED
    if path.endswith(".py")
    and path.startswith(("scripts/", "stacks/", "generate.py"))
    and not path.startswith("scripts/local/")
    and path not in GUARDED
]


def list_kinds(text: str, kinds: dict[str, tuple[str, str]]) -> list[str]:
    """Return the kinds that the text uses, each with the line."""
    lines = text.splitlines()
    return [
        f"{kind}: {line.strip()}" for kind, (pattern, _) in kinds.items() for line in lines if re.search(pattern, line)
    ]


def read_shell_blocks(text: str) -> str:
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(("kinds", "kind"), [(kinds, kind) for kinds in (SHELL_KINDS, PYTHON_KINDS) for kind in kinds])
def test_each_kind_is_noticed(kinds: dict[str, tuple[str, str]], kind: str) -> None:
    assert [line.partition(":")[0] for line in list_kinds(kinds[kind][1], kinds)] == [kind]


@pytest.mark.parametrize("path", SHELL_FILES)
def test_a_script_runs_with_the_tools_of_any_system(path: str) -> None:
    assert list_kinds((ROOT / path).read_text(encoding="utf-8"), SHELL_KINDS) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_command_of_the_documents_runs_with_the_tools_of_any_system(document: Path) -> None:
    assert list_kinds(read_shell_blocks(document.read_text(encoding="utf-8")), SHELL_KINDS) == []


def test_the_commands_need_nothing_of_linux() -> None:
    assert {
        path: kinds for path in PYTHON_FILES if (kinds := list_kinds((ROOT / path).read_text(), PYTHON_KINDS))
    } == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_the_documents_call_python_by_the_name_that_every_system_has(document: Path) -> None:
    """Outside of an environment there may be only python3: https://peps.python.org/pep-0394/."""
    text = document.read_text(encoding="utf-8")
    code = read_shell_blocks(text) + "\n".join(re.findall(r"`[^`]+`", remove_code_blocks(text)))
    assert re.findall(r"(?<![\w./$])python [\w.-]+", code) == []
