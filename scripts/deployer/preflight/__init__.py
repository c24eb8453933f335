"""Checks what an account, a Region and a caller allow, before anything is uploaded or any stack is changed.

examine.py         runs the checks in parallel, reports their findings, and stops for a certain failure
situation.py       what every check reads
resources.py       the declared resources, and which of them a stack already holds
concurrency.py     Lambda's concurrency limits against the declared reservations, and a run of reconciliation
existing_names.py  resources outside the stack whose names are taken
importable.py      what an import takes in of these, and what to do with the others
name_lookups.py    the call of each service that tells whether a name exists
github_subject.py  the subject that GitHub's roles trust
logs_policies.py   the resource policies of CloudWatch Logs
region.py          the services that a Region offers
rights.py          the caller's permissions, simulated
runtime.py         the dates on which Lambda ends its support of a runtime
"""
