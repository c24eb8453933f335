"""Facts about AWS that others recorded, and whether our doubles and readers agree with them.

``python -m tests.conformance`` prints a table with a row for each kind of fact. A disagreement is listed with its
reason in ``disagreements.yaml``; one that is not listed fails, and so does a listed one that agrees by now.

A recording is restated in our own resources, names and values, with where and when it was recorded. What AWS did is
never computed here: the files say it.

__main__.py         the table
kinds.py            the kinds of facts, and what judges each
verdicts.py         a case that was judged, and the disagreements that are listed
executions.py       executions of state machines, played to the interpreter in tests/asl
test_executions.py  each execution ends as AWS ended it
test_verdicts.py    a disagreement is seen, and the table fails with one that is not listed

The executions themselves are in the folder executions/, a file for what belongs together.
"""
