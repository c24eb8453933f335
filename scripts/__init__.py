"""The commands of the platform, and what they are made of.

deployer/  from the templates to a deployed platform
payments/  the operator's commands
verify/    the proof of a deployed environment
local/     the AWS emulator
demo/      the demonstration on it
page/      a page of its payments
audit/     what an auditor asks
bench/     what the README claims about speed, measured
pictures/  the pictures of README.md and of the documents
locks.py  the versions and hashes of all that is installed
commands.py  how a command ends: errors in one line, exit codes, Ctrl-C
"""
