"""The stacks, as troposphere modules: one nested template each, and the parent that wires them.

security/    keys and roles
data/        tables, queue, topic
compute/     the functions, and the schedule of one of them
workflow/    the state machine
monitoring/  alarms, metrics, dashboard
artifacts/   what has to exist before: the bucket of the deployer, and the roles that deploy

Each package has its template in stack.py. Above them, and shared by them:

environments.toml  what each environment sets
settings.py        what may be set, and what is allowed
setting_kinds.py   the kinds of settings: what each accepts
parent.py          the nested stacks in the order of their deployment
render.py          everything as the files that are committed
emit.py            a troposphere template as YAML or JSON text
names.py           every resource name and ARN pattern
wiring.py          Inputs and Outputs of a module <-> Parameters and Outputs of its template
policies.py        what the policies are written with
boundary_reference.py  how roles refer to their permissions boundary
log_groups.py      a log group as every stack has it
log_masking.py     the policy that hides payment data in a log group
suppressions.py    rules of linters that are broken on purpose, each with its reason
"""
