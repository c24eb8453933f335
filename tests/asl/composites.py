"""Map and Parallel states, which contain states: branches and iterations run one after another.

The history events are counted as AWS recorded them, because causes contain event ids.
"""

from collections.abc import Callable
from typing import Any

from tests.asl.errors import StatesError
from tests.asl.jsonata_fields import JsonataFields
from tests.asl.jsonpath_fields import JsonPathFields
from tests.asl.memory import Memory, Visit

Fields = JsonataFields | JsonPathFields
# Runs the states of a branch or an iteration with an input, and returns the output.
RunStates = Callable[[dict[str, Any], Any], Any]


def run_parallel(visit: Visit, fields: Fields, memory: Memory, run_states: RunStates) -> list[Any]:
    """Run each branch with the same input and return their outputs. The first failed branch fails the state."""
    data = fields.read_arguments(visit)
    memory.record_events()  # ParallelStateStarted
    outputs = []
    for branch in visit.state["Branches"]:
        with memory.open_scope():
            try:
                outputs.append(run_states(branch, data))
            except StatesError:
                if "RetryCount" in memory.context["State"]:
                    memory.record_events()  # TaskStateAborted
                raise
    memory.record_events()  # ParallelStateSucceeded
    return outputs


def run_map(visit: Visit, fields: Fields, memory: Memory, run_states: RunStates) -> list[Any]:
    """Run an iteration for each item and return their outputs in order. The first failed iteration fails the state.

    The fields for tolerated failures are evaluated and have no effect: only a distributed Map state tolerates failures.
    https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
    """
    processor = visit.state["ItemProcessor"]
    mode = processor.get("ProcessorConfig", {}).get("Mode", "INLINE")
    assert mode == "INLINE", f"{visit.name}: a Map state of mode {mode} is not supported"
    items = fields.read_items(visit)
    for name in ("MaxConcurrency", "ToleratedFailureCount", "ToleratedFailurePercentage"):
        fields.read_number(visit, name)
    memory.record_events()  # MapStateStarted
    outputs = []
    for index, item in enumerate(items):
        with memory.open_scope({"Index": index, "Value": item}):
            memory.record_events()  # MapIterationStarted
            try:
                outputs.append(run_states(processor, fields.read_item_input(visit, item)))
            finally:
                memory.record_events()  # MapIterationSucceeded or MapIterationFailed
    memory.record_events()  # MapStateSucceeded
    return outputs
