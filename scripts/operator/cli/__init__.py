"""scripts/payments.sh: one module for each group of commands, which it adds to ``main``.

common.py   the group, how a platform is reached, and how errors end a command
views.py    tables and lines for people
start.py    start
inspect.py  show, list, tail
repair.py   refund, resolve, reconcile
dlq.py      the dead letters
logs.py     scripts/logs.sh, a command of its own
"""

from . import dlq, inspect, repair, start  # noqa: F401
from .common import main as main
