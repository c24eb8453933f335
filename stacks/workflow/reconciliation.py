"""The definition of the state machine of reconciliation: the workers of a run side by side, then the measurement.

    ReconcileShares: for each worker (ReconcileShare -> its counts; any failure -> SkipShare -> one error)
        -> MeasureBacklog

The workers are items of an inline Map, of which Step Functions runs up to 40 at once. A worker that fails for good
counts as one error, so that the others go on and the run is measured; the function logs the sums in the line that all
metrics of reconciliation come from. A run that fails or times out logs no such line, and the heartbeat's alarm tells.
https://docs.aws.amazon.com/step-functions/latest/dg/state-map-inline.html
"""

from typing import Any

from ..compute.stack import RECONCILIATION_TIMEOUT_SECONDS
from .state_machine import CRASHED, NOT_READY, THROTTLED, TRANSIENT

# Longer than the function's own timeout, so that Step Functions reports that one.
TASK_TIMEOUT_SECONDS = RECONCILIATION_TIMEOUT_SECONDS + 10
# Three periods of the schedule, after which the heartbeat's alarm reports a run that has not finished. A run usually
# ends within the five minutes of one: 150 s for taking up payments, the last of them, and the measurement.
TIMEOUT_SECONDS = 3 * 300
# All workers at once. A literal, because cfn-lint accepts no expression, and a setting allows no more workers.
MAXIMUM_CONCURRENCY = 40
# No worker holds a payment's lease after it has answered, so no error says that another attempt is in progress.
RETRY = [THROTTLED, TRANSIENT, CRASHED, NOT_READY]


def define_reconciliation() -> dict[str, Any]:
    """Return the definition, with ``${...}`` for the values of ``DefinitionSubstitutions``."""
    worker = {
        **_function_task("{% $states.input %}"),
        "Catch": [{"ErrorEquals": ["States.ALL"], "Output": {"errors": 1}, "Next": "SkipShare"}],
        "End": True,
    }
    return {
        "Comment": "Settles overdue payments with several workers, and measures what stays open",
        "QueryLanguage": "JSONata",
        "StartAt": "ReconcileShares",
        "TimeoutSeconds": TIMEOUT_SECONDS,
        "States": {
            "ReconcileShares": {
                "Type": "Map",
                "Items": "{% [0..${Workers} - 1] %}",
                "MaxConcurrency": MAXIMUM_CONCURRENCY,
                "ItemSelector": {
                    "action": "reconcile",
                    "worker": "{% $states.context.Map.Item.Value %}",
                    "workers": "{% ${Workers} %}",
                },
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "INLINE"},
                    "StartAt": "ReconcileShare",
                    "States": {"ReconcileShare": worker, "SkipShare": {"Type": "Succeed"}},
                },
                "Next": "MeasureBacklog",
            },
            "MeasureBacklog": {
                **_function_task({"action": "measure", "counts": "{% $states.input %}"}),
                "End": True,
            },
        },
    }


def _function_task(payload: Any) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "${InvokeFunction}",
        "TimeoutSeconds": TASK_TIMEOUT_SECONDS,
        "Arguments": {"FunctionName": "${ReconciliationFunctionArn}", "Payload": payload},
        "Output": "{% $states.result.Payload %}",
        "Retry": RETRY,
    }
