"""scripts/payments.sh: one module for each group of commands.

common.py   the group, how a platform is reached, errors and exit codes
views.py    tables and lines for people
start.py    start
inspect.py  show, list, tail
repair.py   refund, resolve, reconcile
dlq.py      the dead letters
"""

from . import dlq, inspect, repair, start
from .common import main

for _command in (
    start.start,
    inspect.show,
    inspect.list_payments,
    inspect.tail,
    repair.refund,
    repair.resolve,
    repair.reconcile,
    dlq.dlq,
):
    main.add_command(_command)

__all__ = ["main"]
