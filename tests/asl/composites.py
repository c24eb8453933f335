"""Map and Parallel states, which run states of their own: one branch or iteration after another.

The events that are counted are those that AWS recorded, for the ids in later causes.
"""

from collections.abc import Callable
from typing import Any

from tests.asl.errors import StatesError
from tests.asl.jsonata_fields import JsonataFields
from tests.asl.jsonpath_fields import JsonPathFields
from tests.asl.memory import Memory, Visit

Fields = JsonataFields | JsonPathFields
# Runs the states of a branch or an iteration: its definition and input -> its output.
RunStates = Callable[[dict[str, Any], Any], Any]


def run_parallel(visit: Visit, fields: Fields, memory: Memory, run_states: RunStates) -> list[Any]:
    """The outputs of the branches. Each has the same input; the first that fails fails the state."""
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
    """The outputs of the iterations, in the order of the items; the first that fails fails the state.

    The fields for tolerated failures are evaluated and change nothing: only a distributed Map state tolerates any.
    https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
    """
    processor = visit.state["ItemProcessor"]
    mode = processor.get("ProcessorConfig", {}).get("Mode", "INLINE")
    assert mode == "INLINE", f"{visit.name}: a Map state of the mode {mode} is not known"
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
