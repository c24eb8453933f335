"""The stacks, as troposphere modules: one nested template each, and the parent that wires them.

environments.toml   what each environment sets
settings.py         what may be set, and what is allowed
names.py            every resource name and ARN pattern, in one place
wiring.py           Inputs/Outputs of a module <-> Parameters/Outputs of its template
security.py  data.py  compute.py  workflow.py  monitoring.py
parent.py           read top to bottom, it is the deployment order
artifacts.py        the bucket that the deployer uploads to: a stack of its own
emit.py             a troposphere template as YAML or JSON text
render.py           all of the above as the files of templates/
"""
