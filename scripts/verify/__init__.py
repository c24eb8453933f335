"""Prove that a deployed environment works, on AWS or on the AWS emulator: scripts/verify.sh ENVIRONMENT.

__main__.py       the entry point
cli.py            the options, the question before anything is written, the exit code
announcement.py   what a run does, how long it takes, and what it costs
runner.py         runs the groups of checks, concurrently where they are independent
results.py        the result of a check
place.py          what every check needs: clients, names, expected resources, waits, the way back
deployments.py    whether a deployment runs, which a test of the alarms would roll back
cleanup.py        what has to be undone, undone once, however a run ends
read_only.py      refuses every call that is not a read
report.py         the table and the JSON document

expected.py       the committed templates with the settings filled in, by the physical ids of the deployed stacks
described.py      what AWS says of a resource, in the form of its template
described_access.py    of who may do what
described_compute.py   of what runs
described_messages.py  of where messages go
described_watching.py  of what watches
compared.py       the differences between the two, and between two policies

Groups of checks, one module each:
stacks.py         stacks, settings, protection, drift
access.py         roles, their trust and their policies, and who may invoke
account.py        the stack that all environments share
keys.py           keys, and what each of them encrypts
resources.py      tables, queue, topic, logs, functions, state machine, schedule, alarms, backups as in the templates
versions.py       what the live aliases point to
payments.py       payments of its own, with every outcome that the gateway can be asked for
samples.py        these payments, and what has to become of each
dead_letters.py   the dead letters that those payments leave
notifications.py  who is subscribed, and which notifications those payments send
traces.py         log lines, the log of the workflow, and X-Ray traces of those payments
alarms.py         every alarm sends a notification, and goes back
schedule.py       the heartbeat, and what becomes of an event that cannot be delivered
reconciliation.py an open payment gets its final status
backups.py        a backup on demand

It may import scripts/payments, scripts/deployer and scripts/local. Nothing imports it.
"""
