"""Measures what the README claims about speed, as ratios within one run because machines are noisy.

__main__.py     prints every figure
generator.py    CPU time of the template generator
starts.py       CPU time of commands until they would do their work
deployments.py  time and AWS calls of a deployment, compared with the AWS CLI
payments.py     cost of a payment, compared with the reference functions
worker.py       the process that measures one side of that comparison
"""
