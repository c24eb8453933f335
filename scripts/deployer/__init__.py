"""From the templates to a deployed platform, one module per step, each from one form of it to the next.

cli/           the commands; the one place where an expected error becomes one line
deploy.py      the steps in order
  deployment_options.py  the environment to deploy, its settings, and the options of the command
  session.py     these options, the target, the reporter, and how to ask for confirmation
  bootstrap.py   the stack that an account needs first
    bootstrap_change.py    how it differs, and when it is updated: before the platform, after it, or both
    bootstrap_proposal.py  this change -> its change sets, executed before and after the platform's
    saved_bootstrap.py     the same from the change sets of a saved plan, and what it must not take away
    transition.py        its template in between: what either release may do is allowed
      rights.py          policy documents as sets of rights, and what of two of them holds for both releases
  validate.py    checks that the committed templates are fresh, and lints them
  freshness.py   remembers which templates are fresh, so that an offline plan generates none
  package.py     templates and code -> a Package: every file to upload under a key that names its content
    archive.py     a folder as a zip of the same bytes everywhere
    sbom.py        the bill of materials of the functions, which is one of these files
  stack.py       what is deployed now, and whether it can be changed
    remains.py     deletes what a failed creation has left, before a change set can create it anew
    statuses.py    every status of a stack: what it means, what CloudFormation accepts, and the next step
  layer.py       the requirements of the gateway's library -> its layer, the same bytes everywhere
  preflight/     what the account, the Region and the caller allow, before anything is changed
  imports.py     a Package -> the same, with a copy of its templates that imports existing resources
  upload.py      a Package -> its files in the artifact bucket
  change_set.py  a template and parameters -> a Proposal: a change set to execute, save or delete
    abandoned.py               which change sets a run has left behind that was killed, or interrupted twice
    change_set_reader.py       a change set -> its changes, walked to every nested stack, or why it was refused
    change_set_validations.py  the early validations that failed, and the hooks that will run
  execution_options.py  the ways to execute it: in express mode, keeping what succeeded, without early validation
  planning.py    a Proposal, what is deployed and what will be -> a Plan
  drift.py       what a plan that reverts drift has to say beside its changes
  plan/          what a Plan is, and how templates are compared; touches no network
  moved_templates.py  deployed templates, after resources have got another stack or logical id
  stack_safeguards.py     alarms that roll back, termination protection, stack policies
  deletion_protection.py  what a second change set protects or completes, once the first has been executed
  execute.py     a confirmed Plan -> an environment that is deployed, protected and recorded
  follow.py      a Proposal -> its execution, its events, and its final status
    operations.py  which of the events belong to the operation
  failure.py     events -> the first cause of a failure, and the next step
    declarations.py       the lines that declare a resource, in Python and in YAML
    deletion_commands.py  the AWS CLI's command for what a rollback left behind
  unneeded_artifacts.py  deletes the files in the bucket that no deployed stack needs
code_only.py   changed code -> the deployed functions, without a deployment
  live_functions.py  the functions behind an alias, and how a deployment takes such code back
holders.py     the stack that holds a resource, for a purge and an import
finding.py     the result of a check of the preflight
report/        reports to people, programs and pull requests; touches no network
both_stacks.py the plans of both stacks, shown, saved and executed together
saved_plan.py  a plan that is kept in a file; apply.py: executed later, or discarded
last_deployment.py  the record of what was deployed from this machine
  json_files.py  these two are read, checked and written as JSON
offline.py     a Plan without AWS
refactor.py    moves resources to other stacks or logical ids without replacing them
rollback.py    follows, cancels or rolls back a running deployment
  rollback_losses.py  what the rollback of a failed operation deletes
  request_tokens.py   by which CloudFormation knows a repeated request
destroy.py     deletes an environment; status.py: its stacks, drift and alarms
purge/         deletes what an environment has retained
"""
