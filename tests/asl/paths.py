"""JSONPath: selects values, and inserts a result into the input.

A path may have names, indices and wildcards: ``$.a['b'][0].c[*]``, ``$$.Execution.Id``, ``$variable.a``. Filters,
slices, recursive descent and intrinsic functions are not supported.

https://states-language.net/spec.html#path
"""

import copy
import re
from typing import Any

_ROOT = re.compile(r"\$\$|\$(\w*)")
_STEP = re.compile(r"\.(\w[\w-]*)|\['([^']*)'\]|\[(\d+)\]|(\.\*|\[\*\])")


class PathMissing(Exception):
    """A path selects nothing."""


def select_path(path: str, data: Any, context: Any, variables: dict[str, Any]) -> Any:
    """Return the value that a path selects; a list if the path has a wildcard. Raises ``PathMissing``."""
    root = _ROOT.match(path)
    assert root, f"not a path: {path}"
    if root[0] == "$$":
        start = context
    elif root[1]:
        if root[1] not in variables:
            raise PathMissing
        start = variables[root[1]]
    else:
        start = data
    steps = _split_steps(path[root.end() :])
    values = [start]
    for step in steps:
        values = [item for value in values for item in _take_step(value, step)]
    if None in steps:
        return values
    if not values:
        raise PathMissing
    return values[0]


def place_result(path: str | None, data: Any, result: Any) -> Any:
    """Return the data with the result inserted at a ``ResultPath``, or without it if the path is None."""
    if path is None:
        return data
    names = _split_steps(path.removeprefix("$"))
    if not names:
        return result
    assert all(isinstance(name, str) for name in names), f"{path}: a ResultPath may only have names"
    output = copy.deepcopy(data) if isinstance(data, dict) else {}
    inner = output
    for name in names[:-1]:
        if not isinstance(inner.get(name), dict):
            inner[name] = {}
        inner = inner[name]
    inner[names[-1]] = result
    return output


def _split_steps(steps: str) -> list[str | int | None]:
    """Return the names and indices of a path. None stands for a wildcard."""
    split: list[str | int | None] = []
    end = 0
    while end < len(steps):
        step = _STEP.match(steps, end)
        assert step, f"this path is not supported: {steps}"
        name, quoted, index, _ = step.groups()
        split.append(int(index) if index else name if name is not None else quoted)
        end = step.end()
    return split


def _take_step(value: Any, step: str | int | None) -> list[Any]:
    if step is None:
        return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if isinstance(step, int):
        return [value[step]] if isinstance(value, list) and step < len(value) else []
    return [value[step]] if isinstance(value, dict) and step in value else []
