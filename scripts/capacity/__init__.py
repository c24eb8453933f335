"""At how many payments a second which limit is reached, and what a million payments cost: scripts/capacity.sh.

__main__.py      the entry point
cli.py           the options, what is asked of AWS, the exit code
answer.py        the answer for one design, or for several
design.py        the environment, the same with Express, and the reference's design
demands.py       what a payment takes, by outcome and in the mean: demands.json, which `make bench` measures
units.py         the sizes of DynamoDB items, and the units that they take
workload.py      the load that is asked about
limits.py        the limits with their sources: limits.toml
needs.py         what payments need of each limit
headroom.py      compares needs and limits, in the order in which they are reached
account.py       the quotas that the account has
prices.py        the list prices with their sources: prices.toml
costs.py         what a month costs, by service
data_files.py    reads the dated data files
report.py        the tables and the JSON document

What is neither measured, nor a limit, nor a price stands in assumptions.toml.
"""
