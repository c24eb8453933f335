"""Runs the functions of a release, one invocation for each line of standard input, in a process of its own.

``python release_worker.py FOLDER``, with the functions' variables in the environment; FOLDER is the ``lambda/`` of the
release.
A line is ``{"function", "event", "at"}``: ``at`` is the time in seconds since 1970 at which the function believes to
run. The answer is a line ``{"answer"}``, or ``{"error", "message"}``. Two releases cannot share a process, because
their modules have the same names.
"""

import importlib
import json
import sys
import time

started, now = time.time, 0.0
# Before the functions are imported, which may keep the clock.
time.time = lambda: now or started()
time.sleep = lambda _seconds: None
sys.path.insert(0, sys.argv[1])

for line in sys.stdin:
    call = json.loads(line)
    now = call["at"]
    handler = importlib.import_module(f"handlers.{call['function']}").handler
    try:
        reply = {"answer": handler(call["event"], None)}
    except Exception as error:
        reply = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(reply), flush=True)
