"""Reads the fields of a state in JSONata."""

import json
from typing import Any

from tests.asl.errors import StatesError, limit_size
from tests.asl.expressions import QueryFailure, fill_in, find_failure, is_expression, name_type, show_value, trim_braces
from tests.asl.memory import Memory, Visit

FAILED_QUERY = "States.QueryEvaluationError"


class JsonataFields:
    """https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html"""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def read_arguments(self, visit: Visit) -> Any:
        """Return the arguments of a task, or the input of the branches of a Parallel state."""
        if "Arguments" not in visit.state:
            return visit.data
        return limit_size(self._evaluate_field(visit, "Arguments", visit.state["Arguments"], input=visit.data))

    def read_number(self, visit: Visit, field: str) -> float | None:
        return self._read_typed(visit, field, "number")

    def read_text(self, visit: Visit, field: str) -> str | None:
        return self._read_typed(visit, field, "string")

    def refuse_field(self, visit: Visit, reason: str) -> StatesError:
        """Return the error for a field with an unusable value."""
        return self._fail_state(visit, reason)

    def read_items(self, visit: Visit) -> list[Any]:
        """Return the items of a Map state; without the field they are the state's input."""
        if "Items" in visit.state:
            return self._read_typed(visit, "Items", "array")
        if isinstance(visit.data, list):
            return visit.data
        # No recording shows AWS's wording.
        raise self._fail_state(visit, f"The input is not an array of items, but of type {name_type(visit.data)}.")

    def read_item_input(self, visit: Visit, item: Any) -> Any:
        """Return the input of an iteration. The context object must contain its item."""
        if "ItemSelector" not in visit.state:
            return item
        return limit_size(self._evaluate_field(visit, "ItemSelector", visit.state["ItemSelector"], input=visit.data))

    def choose_transition(self, visit: Visit) -> tuple[Any, str]:
        """Return the output of a Choice state and the name of the next state."""
        for index, rule in enumerate(visit.state["Choices"]):
            location = f"Choices[{index}]"
            if self._expect_type(visit, f"{location}/Condition", rule["Condition"], "boolean"):
                return self._write_output(visit, rule, f"{location}/", visit.data, input=visit.data), rule["Next"]
        if "Default" not in visit.state:
            # No recording shows AWS's wording: https://docs.aws.amazon.com/step-functions/latest/dg/state-choice.html
            raise visit.fail_state(
                "States.NoChoiceMatched",
                "Failed to transition out of the state. The state does not point to a next state.",
            )
        return self.leave_state(visit), visit.state["Default"]

    def leave_state(self, visit: Visit, *results: Any) -> Any:
        """Return the output of a state. ``results`` holds the result of a state that has one."""
        states = {"result": results[0]} if results else {}
        return self._write_output(
            visit, visit.state, "", results[0] if results else visit.data, input=visit.data, **states
        )

    def leave_pass(self, visit: Visit) -> Any:
        """Return the output of a Pass state, which has no result in JSONata."""
        return self.leave_state(visit)

    def catch_failure(self, visit: Visit, index: int, failure: dict[str, Any]) -> Any:
        """Return the output of a state whose failure the catcher with this index caught."""
        catcher = visit.state["Catch"][index]
        return self._write_output(visit, catcher, f"Catch[{index}]/", failure, input=visit.data, errorOutput=failure)

    def _write_output(self, visit: Visit, fields: dict[str, Any], location: str, default: Any, **states: Any) -> Any:
        """Apply ``Output`` and ``Assign`` of a state, a rule or a catcher, and return the output.

        Neither sees the variables that ``Assign`` sets.
        """
        if "Output" not in fields and "Assign" not in fields:
            return limit_size(default)
        bindings, output = self._bind_variables(**states), default
        if "Output" in fields:
            output = self._fill_in(visit, f"{location}Output", fields["Output"], bindings)
        if "Assign" in fields:
            assigned = limit_size(self._fill_in(visit, f"{location}Assign", fields["Assign"], bindings))
            self._memory.variables |= assigned
        return limit_size(output)

    def _read_typed(self, visit: Visit, field: str, type_name: str) -> Any:
        if field not in visit.state:
            return None
        return self._expect_type(visit, field, visit.state[field], type_name)

    def _expect_type(self, visit: Visit, location: str, value: Any, type_name: str) -> Any:
        """Evaluate a value and return it; raise an error if it has another type."""
        is_literal = not isinstance(value, list) and not is_expression(value)
        result = value if is_literal else self._evaluate_field(visit, location, value, input=visit.data)
        if name_type(result) == type_name:
            return result
        assert is_expression(value), f"{location}: AWS rejects this definition"
        raise self._fail_query(
            visit,
            location,
            trim_braces(value),
            f"returned an unexpected result type. Expected '{type_name}', but was '{name_type(result)}'"
            f" for value: {show_value(result)}",
        )

    def _evaluate_field(self, visit: Visit, location: str, value: Any, **states: Any) -> Any:
        return self._fill_in(visit, location, value, self._bind_variables(**states))

    def _bind_variables(self, **states: Any) -> str:
        """Return the variables that an expression sees, in JSON."""
        memory = self._memory
        return json.dumps(memory.variables | {"states": states | {"context": memory.context}})

    def _fill_in(self, visit: Visit, location: str, value: Any, bindings: str) -> Any:
        try:
            return fill_in(value, bindings)
        except QueryFailure as failure:
            place, expression = find_failure(value, bindings, location)
            raise self._fail_query(visit, place, expression, failure.ending) from None

    def _fail_query(self, visit: Visit, location: str, expression: str, ending: str) -> StatesError:
        return self._fail_state(
            visit, f"The JSONata expression '{expression}' specified for the field '{location}' {ending}"
        )

    def _fail_state(self, visit: Visit, reason: str) -> StatesError:
        self._memory.record_events()  # EvaluationFailed
        return visit.fail_state(FAILED_QUERY, reason)
