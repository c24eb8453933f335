"""What a deployment reports, to people and to programs. Nothing in here touches the network.

reporter.py          the interface of the reporters
console_reporter.py  on a terminal, a live tree of the stacks; elsewhere, one line for each event
json_reporter.py     for programs, one JSON object a line (docs/deploy-output.schema.json)
findings.py          the findings of the preflight, as text and as Markdown
plan_text.py         a plan, a failure and outputs as text
differences.py       each difference of two long values
markdown.py          a plan as the comment on a pull request
hanging.py           lines that wrap below their beginning, between words or at separators of names
progress.py          how far each stack of the tree is, from its events
"""
