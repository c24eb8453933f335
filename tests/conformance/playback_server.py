"""The process of an emulator that plays recorded executions: its tasks answer with the recorded results.

The name of an execution is the number of its recording. The arguments of its calls are written to a file, in a line
for each call.
"""

import contextvars
import json
import os
import threading
from pathlib import Path
from typing import Any

from ministack.services import stepfunctions

from scripts.local import emulator_process
from tests.conformance.emulator import name_calls_file
from tests.conformance.executions import load_executions


def play_tasks_back() -> None:
    """Answer each call of a task with a recorded call that has its arguments.

    The iterations of a Map state run concurrently, so calls may come in another order than was recorded.
    """
    folder = Path(os.environ["TMPDIR"])
    unused_calls = {str(number): list(recorded.tasks) for number, recorded in enumerate(load_executions())}
    lock = threading.Lock()
    execution_name = contextvars.ContextVar[str]("execution_name")
    execute_task = stepfunctions._execute_task

    def execute_named_task(state: Any, data: Any, execution: Any, context: dict[str, Any]) -> Any:
        execution_name.set(context["Execution"]["Name"])
        return execute_task(state, data, execution, context)

    def answer_call(_resource: str, arguments: Any) -> Any:
        name = execution_name.get()
        with lock, open(folder / name_calls_file(name), "a") as calls_file:
            calls_file.write(json.dumps(arguments) + "\n")
            call = next((call for call in unused_calls[name] if call["arguments"] == arguments), None)
            if call is None:
                raise stepfunctions._ExecutionError("NotRecorded", "")
            unused_calls[name].remove(call)
        if "error" in call:
            raise stepfunctions._ExecutionError(call["error"], call.get("cause", ""))
        return call["result"]

    stepfunctions._execute_task = execute_named_task
    stepfunctions._invoke_resource = answer_call


if __name__ == "__main__":
    play_tasks_back()
    emulator_process.main()
