"""What the README claims about speed, measured. Ratios within one run, because machines are noisy.

__main__.py     prints every figure
generator.py    CPU time of the generator of the templates
deployments.py  wall time and calls of a deployment, beside the AWS CLI's
payments.py     a payment's cost, beside the reference's
worker.py       one side of that comparison, in a process of its own
"""
