"""Evaluates JSONata expressions, and words why one failed."""

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

from jsonata.jexception import JException
from jsonata.utils import Utils

from tests import jsonata2
from tests.asl.functions import FunctionFailure, StepFunctionsExpression, is_varying

_OPENING, _CLOSING = "{%", "%}"
_PLACEHOLDER = re.compile(r"\{\{\{(\w+)\}\}\}|\{\{(\w+)\}\}")
# By the letters of a function's signature: https://docs.jsonata.org/embedding-extending#function-signature-syntax
_MEMBERS = {"a": "arrays", "b": "booleans", "f": "functions", "n": "numbers", "o": "objects", "s": "strings"}


class QueryFailure(Exception):
    """An expression has no usable result. ``ending`` is the end of AWS's sentence about it."""

    def __init__(self, ending: str) -> None:
        super().__init__(ending)
        self.ending = ending


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_OPENING) and value.endswith(_CLOSING)


def trim_braces(expression: str) -> str:
    return expression[len(_OPENING) : -len(_CLOSING)].strip()


def fill_in(value: Any, bindings: str) -> Any:
    """Replace each expression in a value by its result; ``bindings`` are the variables in JSON.

    Raises ``QueryFailure``; ``find_failure`` then locates the expression.
    """
    if isinstance(value, dict):
        return {key: fill_in(item, bindings) for key, item in value.items()}
    if isinstance(value, list):
        return [fill_in(item, bindings) for item in value]
    if isinstance(value, str):
        text, varies = _read_expression(value)
        if text is not None:
            return _evaluate_text(text, bindings) if varies else _evaluate_once(text, bindings)
    return value


def find_failure(value: Any, bindings: str, location: str) -> tuple[str, str]:
    """Return the location and the text of the first failing expression.

    This is a second pass, so that the usual case, in which no expression fails, tracks no locations.
    """
    for place, expression in _list_expressions(value, location):
        try:
            fill_in(expression, bindings)
        except QueryFailure:
            return place, trim_braces(expression)
    raise AssertionError("an expression failed, and does not fail again")


def name_type(value: Any) -> str:
    """Return the name of a JSON value's type that AWS uses in a cause."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def show_value(value: Any) -> str:
    """Return the value in compact JSON, as in a cause."""
    try:
        text = jsonata2.stringify([jsonata2.with_nulls(value)])
    except JException:  # a number that is no double
        return str(value)
    assert text is not None
    return text[1:-1]


def _list_expressions(value: Any, location: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _list_expressions(item, f"{location}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _list_expressions(item, f"{location}[{index}]")
    elif is_expression(value):
        yield location, value


def _evaluate_text(text: str, bindings: str) -> Any:
    expression, exists = _compile_text(text), _compile_text(f"$exists(({text}))")
    try:
        variables = {name: jsonata2.with_nulls(value) for name, value in json.loads(bindings).items()}
        result = expression.evaluate(None, variables)
        if result is None and not exists.evaluate(None, variables):
            raise QueryFailure("returned nothing (undefined).")
        return _convert_result(result)
    except JException as error:
        raise QueryFailure(f"threw an error during evaluation. {_describe_error(error)}") from None
    except FunctionFailure as failure:
        raise QueryFailure(f"threw an error during evaluation: {failure}") from None
    except (ArithmeticError, RecursionError, ValueError) as error:
        # The library raises these where the reference implementation has an error code.
        raise QueryFailure(f"threw an error during evaluation: {error}") from None


# Tests evaluate the same expressions thousands of times.
_evaluate_once = functools.lru_cache(maxsize=4096)(_evaluate_text)


def _convert_result(result: Any) -> Any:
    """Return a result of the library as a JSON value. Raises ``QueryFailure`` for a function."""
    if result is None or result is Utils.NULL_VALUE:
        return None
    if isinstance(result, dict):
        return {key: _convert_result(item) for key, item in result.items()}
    if isinstance(result, list):
        return [_convert_result(item) for item in result]
    if isinstance(result, str | int | float):
        return result
    raise QueryFailure("returned an unsupported result type.")


@functools.cache
def _read_expression(value: str) -> tuple[str | None, bool]:
    """Return the text of an expression (None for other text), and whether its result varies."""
    return (trim_braces(value), is_varying(value)) if is_expression(value) else (None, False)


@functools.cache
def _compile_text(text: str) -> StepFunctionsExpression:
    return StepFunctionsExpression(text)


def _describe_error(error: JException) -> str:
    """Return the code and message of the JSONata reference implementation; the library says Object for function.

    AWS ends its sentence with both: https://github.com/floci-io/floci/issues/2736, measured in August 2026.
    """
    template = JException.error_codes.get(error.error)
    if template is None:
        return f"{error.error}: {error}"
    values = iter([error.current, error.expected, error.extra])
    if error.error == "D1002":  # the library gives the operator first
        next(values)

    def fill_placeholder(match: re.Match[str]) -> str:
        value = next(values)
        if match[1]:
            return str(value)
        if match[2] == "type":
            value = _MEMBERS.get(value, value)
        return show_value(value)

    return f"{error.error}: {_PLACEHOLDER.sub(fill_placeholder, template).replace('Object', 'function')}"
