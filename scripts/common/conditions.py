"""Conditions whose result no template tells, and the values that hang on them.

A result is True, False, or a text that says when the condition is met: ``"${AWS::StackId}" = "x"``. Conditions with
equal texts have one result. A value that hangs on a condition is ``{"Fn::If": [text, value if met, value if not]}``,
where ``{"Ref": "AWS::NoValue"}`` stands for no value.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-conditions.html
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

Result = bool | str
NO_VALUE = {"Ref": "AWS::NoValue"}
_IF = "Fn::If"
_NOT = "not ("
# Of more conditions, not every combination is tried.
_MOST_CONDITIONS = 6


class Choice(NamedTuple):
    """A value that hangs on a condition; None is no value."""

    condition: str
    met: Any
    unmet: Any


def negate(result: Result) -> Result:
    if isinstance(result, bool):
        return not result
    return result[len(_NOT) : -1] if result.startswith(_NOT) else f"{_NOT}{result})"


def join_all(results: Iterable[Result]) -> Result:
    """Return whether all are met, which is known as soon as one is not."""
    return _join_results(list(results), decisive=False, word=" and ")


def join_any(results: Iterable[Result]) -> Result:
    """Return whether one is met, which is known as soon as one is."""
    return _join_results(list(results), decisive=True, word=" or ")


def _join_results(results: list[Result], *, decisive: bool, word: str) -> Result:
    """Return the result that decides alone, if there is one: a condition and its opposite always include it."""
    unknown = list(dict.fromkeys(result for result in results if isinstance(result, str)))
    if decisive in results or any(negate(result) in unknown for result in unknown):
        return decisive
    if not unknown:
        return not decisive
    return unknown[0] if len(unknown) == 1 else f"({word.join(unknown)})"


def choose(condition: str, met: Any, unmet: Any) -> Any:
    """Return the value that hangs on the condition: any of two that are equal."""
    if condition.startswith(_NOT):
        condition, met, unmet = str(negate(condition)), unmet, met
    return met if _to_json(met) == _to_json(unmet) else {_IF: [condition, met, unmet]}


def _to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def read_choice(value: Any) -> Choice | None:
    """Return the choice, or None for a value that hangs on no condition, or does so in its parts only."""
    argument = value.get(_IF) if isinstance(value, Mapping) and len(value) == 1 else None
    if not isinstance(argument, list) or len(argument) != 3 or not isinstance(argument[0], str):
        return None
    met, unmet = (None if branch == NO_VALUE else branch for branch in argument[1:])
    return Choice(argument[0], met, unmet)


def list_branches(value: Any, condition: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that there may be, with when; its parts may hang on conditions of their own."""
    choice = read_choice(value)
    if choice is None:
        yield condition, value
        return
    for literal, branch in ((choice.condition, choice.met), (str(negate(choice.condition)), choice.unmet)):
        yield from list_branches(branch, join_literals(condition, literal))


def map_branches(value: Any, change_value: Callable[[Any], Any]) -> Any:
    """Return the value with each of its branches changed; None is no value."""
    choice = read_choice(value)
    if choice is None:
        return change_value(value)
    return choose(choice.condition, *(map_branches(branch, change_value) for branch in (choice.met, choice.unmet)))


def join_literals(*literals: str) -> str:
    return " and ".join(dict.fromkeys(filter(None, literals)))


def expand_choices(value: Any) -> Iterator[Any]:
    """Yield what the value may be as a whole, as ``list_choices`` does, without when."""
    for _, choice in list_choices(value):
        yield choice


def list_choices(value: Any, condition: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what the value may be as a whole, with when: one for each combination of the results of its conditions.

    A value with many conditions is yielded as it is.
    """
    conditions = list_conditions(value)
    if not conditions or len(conditions) > _MOST_CONDITIONS:
        yield condition, value
        return
    for is_met, literal in ((True, conditions[0]), (False, str(negate(conditions[0])))):
        yield from list_choices(_assume(value, conditions[0], is_met=is_met), join_literals(condition, literal))


def list_conditions(value: Any) -> list[str]:
    """Return the conditions that the value or a part of it hangs on, each once."""
    return list(dict.fromkeys(_find_conditions(value)))


def _find_conditions(value: Any) -> Iterator[str]:
    choice = read_choice(value)
    if choice is not None:
        yield choice.condition
        value = [choice.met, choice.unmet]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _find_conditions(item)


def _assume(value: Any, condition: str, *, is_met: bool) -> Any:
    """Return the value where the condition has this result; without a value, a part is left out."""
    choice = read_choice(value)
    if choice is not None and choice.condition == condition:
        return _assume(choice.met if is_met else choice.unmet, condition, is_met=is_met)
    if isinstance(value, Mapping):
        items = {key: _assume(item, condition, is_met=is_met) for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not None or value[key] is None}
    if isinstance(value, list):
        branches = [(item, _assume(item, condition, is_met=is_met)) for item in value]
        return [branch for item, branch in branches if branch is not None or item is None]
    return value
