"""What is said while deploying, and to whom. Nothing in here touches the network.

reporter.py   what the steps say, whoever listens
people.py     to people: on a terminal a live tree, elsewhere a line for each event
records.py    to programs: one JSON object a line (docs/deploy-output.schema.json)
preflight.py  the findings before a plan, as text and for a pull request
text.py       a plan, a failure and outputs as text
markdown.py   a plan as a pull request's comment
progress.py   how far each stack of the tree is, from its events
"""
