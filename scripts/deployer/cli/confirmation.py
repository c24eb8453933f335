"""Asks before anything is changed; data that would be lost is confirmed by name, which ``--yes`` does not cover.

What is confirmed is done, although its output can no longer be written. Nothing else is begun then: ``OutputError``.
"""

import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import click

from scripts.common.errors import OutputError, UserError, raise_both
from scripts.common.streams import check_prompt, outlast_output, require_output
from scripts.common.terminal import echo


def confirm_deployment(yes: bool, destroys: Collection[str], question: str, losses: Sequence[str]) -> bool:
    """Ask for the name of each of ``losses``, and then the question; ``yes`` and ``destroys`` answer in advance."""
    _check_output(question)
    questions = {name: f"Type {name} to confirm that its data may be lost" for name in losses}
    is_confirmed = _confirm_losses(yes, destroys, questions) and (yes or confirm_question(question))
    if is_confirmed:
        outlast_output("deploy")
    return is_confirmed


def confirm_deletion(yes: bool, destroys: Collection[str], questions: Mapping[str, str]) -> bool:
    """Ask for each name that is deleted; if all were given in advance, ask one question for all of them."""
    _check_output(" ".join(questions.values()))
    typed = {name: f"{question} Type {name} to confirm" for name, question in questions.items()}
    is_confirmed = _confirm_losses(yes, destroys, typed) and (
        yes or not set(questions) <= set(destroys) or confirm_question(f"Delete {', '.join(questions)}?")
    )
    if is_confirmed:
        outlast_output("destroy")
    return is_confirmed


def _check_output(question: str) -> None:
    """Raise ``OutputError`` if what is to be confirmed could not be written where it belongs, or the pipe is closed."""
    try:
        sys.stdout.flush()
        require_output()
    except OutputError as error:
        raise_both(error, f"not confirmed: {question}")


def _confirm_losses(yes: bool, destroys: Collection[str], questions: Mapping[str, str]) -> bool:
    unnamed = {name: question for name, question in questions.items() if name not in destroys}
    flags = shlex.join(word for name in unnamed for word in ("--destroys", name))
    if unnamed and yes:
        raise UserError(f"--yes does not cover data loss; to confirm it, add {flags}")
    if unnamed:
        _check_terminal(flags)
    return all(_confirm_name(question, name) for name, question in unnamed.items())


def _confirm_name(question: str, name: str) -> bool:
    """Ask for the name of a resource that is lost, and return whether it was typed."""
    try:
        answer = click.prompt(question, default="", show_default=False, err=True)
    except click.Abort as abort:
        _raise_interrupt(abort)
        return False
    if answer and answer != name:
        echo(f"The name does not match {name}.", err=True)
    return bool(answer == name)


def confirm_question(question: str) -> bool:
    _check_terminal()
    try:
        return click.confirm(question, err=True)
    except click.Abort as abort:
        _raise_interrupt(abort)
        return False


def _raise_interrupt(abort: click.Abort) -> None:
    """End the line of the question, and raise ``KeyboardInterrupt`` for Ctrl-C, which click turns into the same error
    as Ctrl-D, the end of the input."""
    with suppress(OutputError):  # a closed terminal is an interrupt, too
        echo(err=True)
    if isinstance(abort.__context__, KeyboardInterrupt):
        raise KeyboardInterrupt from None


def _check_terminal(flags: str = "") -> None:
    """Raise ``UserError`` if there is nobody to answer a question, and ``OutputError`` if nobody can see it.

    ``flags`` are what ``--yes`` does not cover.
    """
    if not sys.stdin.isatty():
        answers = f"--yes {flags}".rstrip()
        raise UserError(f"cannot ask for confirmation without a terminal; run it in a terminal or add {answers}")
    check_prompt()
