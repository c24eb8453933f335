"""Simulates payments through an outage of the gateway: how they end, when none is open any more, what is throttled.

A discrete-event simulation with SimPy (https://simpy.readthedocs.io). The retries come from the definition of the state
machine; the lease and the times of reconciliation from the functions; the limits that are settings from the settings.
``assumptions.py`` has every other number. Its checks are tests/simulation and tests/e2e/test_simulation.py, which
compare it with the functions in memory and on the AWS emulator.

__main__.py        scripts/simulate.sh
cli.py             the command
assumptions.py     the numbers that no file of the platform has
rules.py           the numbers that files of the platform have
scenario.py        what is to be simulated
retriers.py        the waits between the attempts of a task
quotas.py          token buckets, and the concurrency of the functions
gateway.py         the gateway, with its outage and its rate limit
payment.py         a payment as far as it is simulated
world.py           the time, the chance, the limits and the counts of one simulation
executions.py      an execution of the state machine
reconciliation.py  the scheduled runs of reconciliation
figures.py         what is counted, and the result
simulate.py        runs a scenario
report.py          prints results
recorded.py        the results that docs/scale.md shows
"""
