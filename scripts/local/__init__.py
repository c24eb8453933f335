"""The AWS emulator: MiniStack on loopback with IAM enforced, and AWS's own runtime client running the functions.

__main__.py      end the one that a command left running
server.py        start it, find it running, end it
serve.py         the server's own process
corrections.py   every correction of MiniStack, each with its reason
gaps.py          what MiniStack does not do: scripts/verify skips it
alarms.py        what state an alarm is in
metrics.py       which metrics lines of the log become
recorder.py      which calls the platform's roles make
runtime.py       what local packaging adds to the functions, and what they find beside their code
target.py        where the deployer finds it
reach.py         AWS or the emulator: where an environment is
examples.py      payments with which its simulated gateway can be asked for every outcome
"""
