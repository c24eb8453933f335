"""The commands of the platform, and what they are made of. Each room may import those below it in this list.

demo/      the demonstration on the AWS emulator
bench/     what the README claims about speed, measured
simulation/  payments through an outage of the gateway, simulated
audit/     what an auditor checks
pictures/  the pictures of README.md and of the documents
verify/    the proof of a deployed environment
page/      a page of the payments of a running emulator
operator/  the operator's commands
capacity/  which limit is reached at how many payments a second, and what they cost
deployer/  from the templates to a deployed platform
local/     the AWS emulator, and how a command reaches it or AWS
common/    what all commands share

locks.py   the versions and hashes of all that is installed
weak_names.py  the names in the sources, counted
complexity.py  the functions that have too many branches
"""

import signal
import sys
import threading
from types import FrameType, TracebackType


def _report_early_interrupt(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print one line if a command is interrupted while it imports its modules; later, commands report it themselves."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.__excepthook__(kind, error, traceback)


def _raise_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


sys.excepthook = _report_early_interrupt
# SIGTERM ends a command as Ctrl-C does. Whoever ignores it, or has a handler, keeps that.
if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, _raise_interrupt)
