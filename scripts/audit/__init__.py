"""What an auditor asks, answered by one command: ``make audit``.

__main__.py             ``python -m scripts.audit``
cli.py                  the command: all checks, and whether anything is open
deployed.py             the templates as an environment has them
scanners.py             scanners from PyPI judge them
parliament_findings.py  one of these, in the environment that the scanners have to themselves
workflows.py            a scanner judges GitHub's workflows
packs.py                rule packs from npm judge them
environments.py         what these find in dev and staging and not in prod
privileges.py           what roles are granted, and what they use
trials.py               the end-to-end tests, which record these calls and look for marked values; the mutations
results.py              what each check gives
table.py                shows it
"""
