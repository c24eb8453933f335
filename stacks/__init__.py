"""The stacks, as troposphere modules: one nested template each, and the parent that wires them.

environments.toml   what each environment sets
settings.py         what may be set, and what is allowed
setting_kinds.py    the kinds of settings: what each accepts
names.py            every resource name and ARN pattern, in one place
wiring.py           Inputs/Outputs of a module <-> Parameters/Outputs of its template
parent.py           read top to bottom, it is the deployment order
security.py         keys and roles
  keys.py             the customer-managed keys
  key_policies.py     who may use each
  role_policies.py    what each role may do
  policies.py         short words for what policies say
data.py             tables, queue, topic
  backups.py          a daily backup of the tables
compute.py          the functions, and the schedule of one of them
  function_code.py    their source, and its digest
  versions.py         what a version of one holds, and so when one is published
  layers.py           the gateway's library, and a digest of what the layer contains
  runtime.py          the runtime they run on
workflow.py         the state machine
  state_machine.py    its definition
  workflow_errors.py  which errors are tried again, and why the others are not
monitoring.py       what watches
  alarms.py           the kinds of alarms
  dashboard.py        the dashboard's body
log_groups.py       a log group as every stack has it
artifacts.py        what has to exist before: the bucket that the deployer uploads to
  boundary.py         what no role of the platform can do
  deployers/          the roles that deploy
suppressions.py     rules of others that are broken on purpose, with the reasons
emit.py             a troposphere template as YAML or JSON text
render.py           all of the above as the files that are committed
"""
