"""From the templates to a deployed platform, one module per step, each with one form in and one form out.

cli/           the commands; the one place where an expected error becomes one line
deploy.py      the steps in order
  order.py       what is asked for
  session.py     an order, where it is carried out, and who is told and asked
  bootstrap.py   what an account needs before
  rollout.py     how the environment wants it
  validate.py    the committed templates are fresh, and cfn-lint has nothing to say
  package.py     templates and code -> a Package: every file to upload under a key that names its content
    archive.py     a folder as a zip of the same bytes everywhere
    sbom.py        the bill of materials of the functions, which is one of these files
  stack.py       what is deployed now, and whether it can be changed
  layer.py       the requirements of the gateway's library -> its layer, the same bytes everywhere
  preflight/     what the account, the Region and the caller allow, before anything is changed
  upload.py      a Package -> the artifact bucket, what is not there yet
  change_set.py  a template and parameters -> a Proposal, its changes walked to every nested stack
  checks.py      what CloudFormation remarked on it: early validations, hooks
  planning.py    a Proposal, what is deployed and what will be -> a Plan
  plan/          what a Plan is, and how templates are compared; touches no network
  protect.py     alarms that roll back, termination protection, stack policies
  deletion_protection.py  what a second change set protects, once the first has created it
  execute.py     a Plan that was agreed to -> an environment that is deployed, protected and tidied up
  follow.py      a Proposal -> executed, its events told, and how it ended
  failure.py     events -> the first cause, and what to do next; source.py finds the line that declared it
    removal.py     the AWS CLI's command for what a rollback left behind
  retire.py      what no deployed stack needs expires
finding.py     what a check of the preflight says
report/        who is told what: people, programs, pull requests; touches no network
saved.py       what is kept between two commands; apply.py: a plan that was kept
offline.py     a Plan without AWS
rollback.py    out of a deployment that goes wrong
destroy.py     an environment -> gone; status.py: how it is
purge/         what an environment retained -> gone
"""
