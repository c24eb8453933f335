"""A strict interpreter of the Amazon States Language, where an emulator is lenient.

It supports the states and fields of state machines in JSONata, and states in JSONPath beside them. It refuses a field
that it does not support. Rules:

- an expression without a result is ``States.QueryEvaluationError``;
- only ``Task``, ``Map`` and ``Parallel`` states catch; the same error elsewhere ends the execution;
- ``States.DataLimitExceeded`` (256 KiB of state input, output, arguments, result or variables) and ``States.Runtime``
  cannot be caught or retried, not even by ``States.ALL``. In March 2024, AWS did let a catcher of ``States.ALL``, or
  of its name, catch a task's result that was too large. ``catches_large_results`` chooses between the two;
- ``Output`` and ``Assign`` see the variables as they were before the state;
- a ``Fail`` state's error and cause are strings.

Causes have the wording of AWS wherever a recording shows it: see tests/conformance. Time is virtual. The branches of a
Parallel state and the iterations of a Map state run one after another; on AWS they run concurrently.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
https://states-language.net/spec.html

interpreter.py      runs the states of an execution, and returns how it ended
composites.py       Map and Parallel states, which contain states
handlers.py         Retry and Catch of a state
jsonata_fields.py   the fields of a state in JSONata
jsonpath_fields.py  the fields of a state in JSONPath
expressions.py      evaluates JSONata expressions, and words why one failed
functions.py        the functions that Step Functions adds to JSONata
paths.py            JSONPath: selects values, and inserts a result into the input
definition.py       the fields that each state type allows
memory.py           the variables, the context object and the event count of an execution
timestamps.py       parses the timestamp of a Wait state
errors.py           the exceptions, and the limit on the size of data
"""

from tests.asl.errors import LIMIT_BYTES as LIMIT_BYTES
from tests.asl.errors import StatesError as StatesError
from tests.asl.interpreter import Execution as Execution
from tests.asl.interpreter import Interpreter as Interpreter
