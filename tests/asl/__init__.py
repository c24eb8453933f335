"""An interpreter of the Amazon States Language, as strict as AWS where an emulator is lenient.

It knows the states and fields of state machines in JSONata, and of those in JSONPath that stand beside them; it
refuses others. Strict means:

- an expression without a result is ``States.QueryEvaluationError``;
- only ``Task``, ``Map`` and ``Parallel`` states catch; the same error elsewhere ends the execution;
- ``States.DataLimitExceeded`` (256 KiB of state input, output, arguments, result or variables) and ``States.Runtime``
  cannot be caught or retried, not even by ``States.ALL``. For a task's result AWS did otherwise in March 2024: a
  catcher of ``States.ALL`` caught it, and one of its name. ``catches_large_results`` chooses between the two;
- ``Output`` and ``Assign`` see the variables as they were before the state;
- a ``Fail`` state's error and cause are strings.

Causes are worded as AWS words them; tests/conformance holds the recordings that say so. Time is virtual: a wait costs
none. Branches and iterations run after one another, where AWS runs them at once.

https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
https://states-language.net/spec.html

interpreter.py      an execution: its states one after another, and how it ends
composites.py       Map and Parallel states, which run states of their own
handlers.py         Retry and Catch
jsonata_fields.py   the fields of a state in JSONata
jsonpath_fields.py  the fields of a state in JSONPath
expressions.py      what a JSONata expression comes to, and what AWS says of one that comes to nothing
functions.py        the functions that Step Functions adds to JSONata
paths.py            JSONPath: what a path selects, and where a result is put
definition.py       the fields that each state type has
memory.py           what an execution remembers: variables, the context object, the number of its events
timestamps.py       the times that a Wait state takes
errors.py           how a state fails, and the limit on data
"""

from tests.asl.errors import LIMIT_BYTES as LIMIT_BYTES
from tests.asl.errors import StatesError as StatesError
from tests.asl.interpreter import Execution as Execution
from tests.asl.interpreter import Interpreter as Interpreter
