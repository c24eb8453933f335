"""What an account, a Region and a caller cannot do is known before anything is uploaded or any stack is touched.

examine.py         runs the checks at the same time, reports their findings, and stops for a certain failure
situation.py       what every check reads
resources.py       the resources that the templates declare, and which of them a stack already holds
concurrency.py     Lambda's concurrency against the reservations that the templates ask for
existing_names.py  resources of the same name outside the stack
name_lookups.py    how each service is asked whether a name exists
github_subject.py  the subject that GitHub's roles trust
logs_policies.py   the resource policies of CloudWatch Logs
region.py          the services that a Region offers
rights.py          the caller's permissions, simulated
runtime.py         the dates on which Lambda ends its support of a runtime
"""
