"""The AWS emulator: MiniStack on loopback with IAM enforced, and AWS's own runtime client running the functions.

__main__.py      stops the emulator that a command left running
server.py        starts the emulator, finds it, stops it
emulator_process.py  its process
corrections.py   the corrections of MiniStack, each with its reason
cloudwatch_corrections.py  those of metrics and alarms
workflow_corrections.py  those of executions and asynchronous invocations
gaps.py          what MiniStack does not do: scripts/verify skips it
alarms.py        evaluates alarms
metrics.py       makes metrics of log lines
recorder.py      records the calls of the platform's roles
runtime.py       the runtime of its functions
invoke.py        runs the source of a function on its tables
runtime_api.py   where that function gets its event, and leaves its answer
target.py        the emulator as a target of the deployer
choose_target.py  decides between AWS and the emulator
examples.py      example payments, one for each outcome
"""
