"""The operator's commands: dead letters, redrives, refunds.

cli.py            the command
environment.py    where the platform's resources are, from the parent stack's outputs
dead_letters.py   read, explain, redrive
"""
