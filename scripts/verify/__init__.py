"""Proves that a deployed environment works, on AWS or on the emulator: scripts/verify.sh ENVIRONMENT.

__main__.py       the entry point
cli.py            the options, the confirmation, the exit code
announcement.py   what a run will do, how long it takes, and what it costs
runner.py         runs the groups of checks, concurrently where they are independent
results.py        the result of a check
run.py            what the checks of a run share: clients, names, expected resources, waits
cleanup.py        undoes what a run has changed, however it ends
read_only.py      refuses every call that is not a read
report.py         the table and the JSON document

expected.py       the expected resources: the committed templates, evaluated with the settings
described.py      describes a resource as AWS has it, and compares it
described_access.py    roles, policies, keys
described_compute.py   functions, the state machine, the schedule
described_data.py      tables, backups, queues, topics
described_monitoring.py log groups and alarms
property_differences.py  finds the differences between properties, and between policies

Groups of checks:
stacks.py         stacks, settings, protection, drift
resources.py      every resource as in the templates; the group "access" has the roles and permissions
account.py        the stack that all environments share
keys.py           keys, and what each of them encrypts
versions.py       the live versions of the functions
payments.py       payments with every outcome that the gateway can simulate
samples.py        these payments and their expected outcomes
dead_letters.py   the dead letters of these payments
notifications.py  the subscribers, and the notifications of these payments
traces.py         log lines, the workflow log, and X-Ray traces of these payments
alarms.py         every alarm notifies and is set back
schedule.py       the heartbeat, and the dead letter of an undeliverable event
reconciliation.py an open payment gets its final status
backups.py        a backup on demand

It may import scripts/operator, scripts/deployer and scripts/local. Nothing imports it.
"""
