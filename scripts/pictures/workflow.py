"""The state machine, drawn from the definition that is deployed."""

import re
from typing import Any

from scripts.common.states import shorten_name
from stacks.workflow import errors as workflow_errors
from stacks.workflow import state_machine

from .mermaid import class_of, draw_block
from .templates import words

State = dict[str, Any]

# The table has these words for lists of errors, each of which would fill a page.
_ERRORS_OF_AWS = {
    workflow_errors.THROTTLED: "Lambda throttles",
    workflow_errors.NOT_READY: "the function is not ready",
    workflow_errors.TRANSIENT: "Lambda is disturbed",
    workflow_errors.CRASHED: "the function crashed or ran out of time",
}


def draw_section() -> list[str]:
    states = state_machine.define_states()["States"]
    rows = [
        " | ".join(
            [
                f"| {name}",
                _called_function(state),
                "; ".join(map(_summarise_retrier, state["Retry"])),
                f"{', '.join(_catching_states(state))} |",
            ]
        )
        for name, state in states.items()
        if state["Type"] == "Task"
    ]
    return [
        "Above the name of each state is its short name, which the commands, the demo and its page use.",
        "A dashed arrow is taken when a state fails for good; each task is tried again before (↻).",
        "Which errors of AWS each case covers is in [`workflow/errors.py`](../stacks/workflow/errors.py).",
        "",
        draw_diagram(states),
        "",
        "| task | calls | is tried again | then goes on to |",
        "|---|---|---|---|",
        *rows,
    ]


def draw_diagram(states: dict[str, State]) -> str:
    lines = [_draw_box(name, state) for name, state in states.items()]
    for name, state in states.items():
        for choice in state.get("Choices", []):
            lines.append(f'{name} -->|"{_summarise_condition(choice["Condition"])}"| {choice["Next"]}')
        if "Default" in state:
            lines.append(f'{name} -->|"otherwise"| {state["Default"]}')
        if "Next" in state:
            lines.append(f"{name} --> {state['Next']}")
        # Where both lead to the same state, one arrow is enough.
        lines += [f"{name} -.-> {to}" for to in sorted({*_catching_states(state)} - {state.get("Next")})]
    lines += class_of("good", (name for name, state in states.items() if state["Type"] == "Succeed"))
    lines += class_of("bad", (name for name, state in states.items() if state["Type"] == "Fail"))
    return draw_block("flowchart TB", lines)


def _draw_box(name: str, state: State) -> str:
    match state["Type"]:
        case "Choice":
            return f'{name}{{"<b>{shorten_name(name)}</b><br/>{name}"}}'
        case "Task":
            retried = "↻ " if state.get("Retry") else ""
            return f'{name}["<b>{shorten_name(name)}</b><br/>{name}<br/>{retried}{_called_function(state)}"]'
        case _:
            return f'{name}(["<b>{shorten_name(name)}</b><br/>{name}"])'


def _called_function(state: State) -> str:
    """Return, for example, "processing function: record failure"."""
    arguments = state["Arguments"]
    if "FunctionName" in arguments:
        function = words(arguments["FunctionName"].strip("${}").removesuffix("Arn"))
        action = arguments["Payload"].get("action", "")
        return function + (f": {action.replace('_', ' ')}" if action else "")
    return words(state["Resource"].strip("${}"))


def _summarise_condition(text: str) -> str:
    """Return the statuses that a condition accepts, and whether this execution has to notify."""
    claim = ["to be notified"] if "announce = true" in text else []
    return "<br/>".join([*re.findall(r"'([A-Z_]+)'", text), *claim])


def _summarise_retrier(retrier: dict[str, Any]) -> str:
    cases = [text for errors, text in _ERRORS_OF_AWS.items() if set(errors) <= set(retrier["ErrorEquals"])]
    covered = {error for errors, text in _ERRORS_OF_AWS.items() if text in cases for error in errors}
    names = [error.removeprefix("States.") for error in retrier["ErrorEquals"] if error not in covered]
    rate = retrier["BackoffRate"]
    growing = f"{retrier['IntervalSeconds']} s" + (f", each {rate} times the last" if rate != 1 else "")
    return f"{retrier['MaxAttempts']} times after {growing}: {', '.join([*names, *cases])}"


def _catching_states(state: State) -> list[str]:
    return [catcher["Next"] for catcher in state.get("Catch", [])]
