"""The commands of the deployer, a module each, and what they share.

common.py   their options, where they work, and how an expected error becomes one line
confirmation.py  the questions before a change, and the refusal of --yes where data is lost
aliases.py  lets each command of deploy.sh be an option, and stand after the environment
deploy.py   deploy.sh
status.py   status.sh
outputs.py  outputs.sh
destroy.py  destroy.sh
invoke.py   invoke.sh
sbom.py     make sbom
lint.py     make validate: cfn-lint
"""
