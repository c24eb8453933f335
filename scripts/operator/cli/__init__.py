"""scripts/payments.sh: the commands by what they do, and in one place how an expected error becomes one line.

common.py    the group, how a platform is reached, errors and exit codes
views.py     what people see
starting.py  start
reading.py   show, list, tail
acting.py    refund, resolve, reconcile
dlq.py       the dead letters
"""

from . import acting, dlq, reading, starting
from .common import main

for _command in (
    starting.start,
    reading.show,
    reading.list_payments,
    reading.tail,
    acting.refund,
    acting.resolve,
    acting.reconcile,
    dlq.dlq,
):
    main.add_command(_command)

__all__ = ["main"]
