"""Measures what the README claims about speed, as ratios within one run because machines are noisy.

__main__.py     prints every figure
generator.py    CPU time of the template generator
starts.py       CPU time of commands until they would do their work
deployments.py  time and AWS calls of a deployment, compared with the AWS CLI
reading.py      what the operators' lists take with many payments (`make reading`)
payments.py     cost of a payment, compared with the reference functions
load.py         payments a second and their durations, compared with the reference functions (`make load`)
sides.py        the two sides of these comparisons, on one emulator
worker.py       the process that measures one side
demands.py      what a payment takes from AWS, for scripts/capacity
reference_demands.py  the same of the reference
proxy.py        reports the calls that pass to the emulator
"""
