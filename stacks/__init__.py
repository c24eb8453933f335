"""The stacks, as troposphere modules: one nested template each, and the parent that wires them.

security/    keys and roles
data/        tables, queues, topic
compute/     the functions
workflow/    the state machines, and the schedule of reconciliation
monitoring/  alarms, metrics, dashboard
artifacts/   what must exist before: the deployer's bucket, and the roles that deploy

Each package has its template in stack.py. Above them, and shared by them:

environments.toml  the settings of each environment
settings.py        the declarations of the settings, and how they are read
setting_kinds.py   the kinds of settings: the values that each accepts
parent.py          the parent stack, with the nested stacks in the order of their deployment
render.py          the templates as the files that are committed
emit.py            a troposphere template as YAML or JSON text
names.py           resource names
references.py      references to names and ARNs
wiring.py          Inputs and Outputs of a module <-> Parameters and Outputs of its template
policies.py        the statements and conditions that policies share
boundary_reference.py  how roles refer to their permissions boundary
log_groups.py      the log group that every stack uses
log_masking.py     the policy that masks payment data in a log group
suppressions.py    linter rules that resources violate on purpose, each with the reason
"""
