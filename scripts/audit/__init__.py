"""The audit, ``make audit``: scanners and rule packs, granted against used privileges, marked values, mutations.

__main__.py             ``python -m scripts.audit``
cli.py                  the command: runs all checks, fails if a finding is open
deployed.py             evaluates the templates as an environment deploys them
scanners.py             the scanners from PyPI
parliament_findings.py  runs parliament in the scanners' own virtual environment
workflows.py            the scanner of GitHub's workflows
packs.py                the rule packs from npm
environments.py         findings in dev and staging that prod does not have
privileges.py           compares granted privileges with recorded calls
recorded_runs.py        runs the end-to-end tests and the mutations
results.py              findings, suppressions, and the result of a check
table.py                prints the results
"""
