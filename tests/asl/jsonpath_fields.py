"""Reads the fields of a state in JSONPath."""

import json
from typing import Any

from tests.asl.errors import StatesError, limit_size
from tests.asl.memory import Memory, Visit
from tests.asl.paths import PathMissing, place_result, select_path


class JsonPathFields:
    """https://docs.aws.amazon.com/step-functions/latest/dg/concepts-input-output-filtering.html"""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def read_arguments(self, visit: Visit) -> Any:
        """Return the arguments of a task, or the input of the branches of a Parallel state."""
        data = self._read_input(visit)
        if "Parameters" not in visit.state:
            return data
        return limit_size(self._fill_in(visit, visit.state["Parameters"], data))

    def read_number(self, visit: Visit, field: str) -> Any:
        return self._read_field(visit, field)

    def read_text(self, visit: Visit, field: str) -> Any:
        return self._read_field(visit, field)

    def refuse_field(self, visit: Visit, reason: str) -> StatesError:
        """Return the error for a field with an unusable value."""
        return visit.fail_state("States.Runtime", reason)

    def read_items(self, visit: Visit) -> list[Any]:
        items = self._select_path(visit, visit.state.get("ItemsPath", "$"), "ItemsPath", self._read_input(visit))
        if not isinstance(items, list):
            raise visit.fail_state("States.Runtime", "Reference path specified by 'ItemsPath' field is not an array.")
        return items

    def read_item_input(self, visit: Visit, item: Any) -> Any:
        if "ItemSelector" not in visit.state:
            return item
        return limit_size(self._fill_in(visit, visit.state["ItemSelector"], self._read_input(visit)))

    def choose_transition(self, visit: Visit) -> tuple[Any, str]:
        raise AssertionError(f"{visit.name}: a Choice state in JSONPath is not supported")

    def leave_state(self, visit: Visit, *results: Any) -> Any:
        """Return the output of a state. ``results`` holds the result of a state that has one."""
        data = self._read_input(visit)
        if not results:
            self._assign_variables(visit, visit.state, data)
            return self._read_output(visit, data)
        selected = results[0]
        if "ResultSelector" in visit.state:
            selected = self._fill_in(visit, visit.state["ResultSelector"], selected)
        self._assign_variables(visit, visit.state, results[0])
        return self._read_output(visit, place_result(visit.state.get("ResultPath", "$"), data, selected))

    def leave_pass(self, visit: Visit) -> Any:
        """Return the output of a Pass state: its result is ``Result``, or else its parameters."""
        return self.leave_state(visit, visit.state["Result"] if "Result" in visit.state else self.read_arguments(visit))

    def catch_failure(self, visit: Visit, index: int, failure: dict[str, Any]) -> Any:
        """Return the output of a state whose failure the catcher with this index caught."""
        catcher = visit.state["Catch"][index]
        self._assign_variables(visit, catcher, failure)
        return limit_size(place_result(catcher.get("ResultPath", "$"), visit.data, failure))

    def _read_input(self, visit: Visit) -> Any:
        return self._filter_data(visit, "InputPath", visit.data)

    def _read_output(self, visit: Visit, data: Any) -> Any:
        return limit_size(self._filter_data(visit, "OutputPath", data))

    def _filter_data(self, visit: Visit, field: str, data: Any) -> Any:
        path = visit.state.get(field, "$")
        return {} if path is None else self._select_path(visit, path, field, data)

    def _read_field(self, visit: Visit, field: str) -> Any:
        path = visit.state.get(f"{field}Path")
        if path is None:
            return visit.state.get(field)
        return self._select_path(visit, path, f"{field}Path", self._read_input(visit))

    def _assign_variables(self, visit: Visit, fields: dict[str, Any], data: Any) -> None:
        if "Assign" in fields:
            self._memory.variables |= limit_size(self._fill_in(visit, fields["Assign"], data))

    def _fill_in(self, visit: Visit, template: Any, data: Any) -> Any:
        """Evaluate a payload template, in which a member whose name ends with ``.$`` holds a path."""
        if isinstance(template, list):
            return [self._fill_in(visit, item, data) for item in template]
        if not isinstance(template, dict):
            return template
        payload = {}
        for key, value in template.items():
            if key.endswith(".$"):
                payload[key.removesuffix(".$")] = self._select_path(visit, value, key, data)
            else:
                payload[key] = self._fill_in(visit, value, data)
        return payload

    def _select_path(self, visit: Visit, path: str, field: str, data: Any) -> Any:
        try:
            return select_path(path, data, self._memory.context, self._memory.variables)
        except PathMissing:
            # No recording shows AWS's wording.
            raise visit.fail_state(
                "States.Runtime",
                f"The JSONPath '{path}' specified for the field '{field}' could not be found in the input"
                f" '{json.dumps(data, separators=(',', ':'))}'",
            ) from None
