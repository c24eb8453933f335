"""Texts from elsewhere cannot control the terminal, whichever command prints them."""

import ast
import io

import pytest
from rich.text import Text

from scripts.common.terminal import create_console, make_printable
from tests.emitted import ROOT


@pytest.mark.parametrize("text", ["a\x1b[2Kb", "a\rb", "a\x9bb", "a\u202eb"])
def test_a_console_prints_its_own_colours_and_no_control_character_of_a_text(text: str) -> None:
    stream = io.StringIO()
    create_console(file=stream, force_terminal=True, color_system="standard").print(Text(text, style="red"))
    output = stream.getvalue()
    assert output.startswith("\x1b[31ma")
    assert output.endswith("b\x1b[0m\n")
    printed = output.removeprefix("\x1b[31m").removesuffix("\x1b[0m\n")
    assert set(printed + make_printable(text)).isdisjoint("\x1b\r\x9b\u202e")


def test_every_command_prints_through_the_safe_functions() -> None:
    """What a command prints may hold names, reasons and outputs."""
    folders = ("deployer", "operator", "verify", "common", "page")
    calls = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in folders
        for path in (ROOT / "scripts" / folder).rglob("*.py")
        if path.name != "terminal.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("click.echo", "print", "Console", "rich.print")
    }
    assert calls == set()
