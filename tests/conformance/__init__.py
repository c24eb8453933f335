"""Compares our doubles and readers of AWS with recordings of AWS.

``python -m tests.conformance`` prints a table with a row for each kind of recording. ``disagreements.yaml`` lists the
known disagreements with their reasons. A disagreement that is not listed fails, and so does a listed case that agrees.

A recording is re-created with our own resources, names and values. Its file says where and when it was recorded, and
contains what AWS did: none of that is computed here.

__main__.py         prints the table
kinds.py            the kinds of recordings, with the function that compares each
verdicts.py         the result for a case, and the list of known disagreements
executions.py       runs recorded executions of state machines on the interpreter in tests/asl
emulator.py         runs recorded executions on the AWS emulator with our corrections
playback_server.py  the process of that emulator, whose tasks are played back
facts.py            single facts about answers of AWS, which facts.yaml lists
double_facts.py     observes them on the interpreter and in the plan
emulator_facts.py   observes them on the emulator
facts_server.py     the process of that emulator, whose schedules fire at once
change_sets.py      recorded change sets, by the offline comparison and by the plan of AWS's answer
test_change_sets.py each change set is compared and shown as AWS listed and executed it
test_emulator.py    each execution ends on the emulator as it did on AWS
test_executions.py  each execution ends as it did on AWS
test_facts.py       each fact holds where we rely on it
test_verdicts.py    the table reports a disagreement that is not listed

The folders executions/ and change_sets/ contain the recordings, grouped by subject.
"""
