"""From the templates to a deployed platform, one module per step, each with one form in and one form out.

cli/           the commands; the one place where an expected error becomes one line
deploy.py      the steps in order
  deployment_options.py  the environment to deploy, its settings, and the options of the command
  session.py     these options, the place of the deployment, and who is told and asked
  bootstrap.py   what an account needs before
  validate.py    the committed templates are fresh, and cfn-lint has nothing to say
  package.py     templates and code -> a Package: every file to upload under a key that names its content
    archive.py     a folder as a zip of the same bytes everywhere
    sbom.py        the bill of materials of the functions, which is one of these files
  stack.py       what is deployed now, and whether it can be changed
  layer.py       the requirements of the gateway's library -> its layer, the same bytes everywhere
  preflight/     what the account, the Region and the caller allow, before anything is changed
  upload.py      a Package -> the artifact bucket, what is not there yet
  change_set.py  a template and parameters -> a Proposal: a change set to execute, save or delete
    change_set_reader.py       a change set -> its changes, walked to every nested stack, or why it was refused
    change_set_validations.py  the early validations that failed, and the hooks that will run
  planning.py    a Proposal, what is deployed and what will be -> a Plan
  plan/          what a Plan is, and how templates are compared; touches no network
  stack_safeguards.py     alarms that roll back, termination protection, stack policies
  deletion_protection.py  what a second change set protects, once the first has created it
  execute.py     a Plan that was agreed to -> an environment that is deployed, protected and tidied up
  follow.py      a Proposal -> executed, its events told, and how it ended
  failure.py     events -> the first cause, and what to do next
    declarations.py       the lines that declare a resource, in Python and in YAML
    deletion_commands.py  the AWS CLI's command for what a rollback left behind
  unneeded_artifacts.py  deletes the files in the bucket that no deployed stack needs
finding.py     what a check of the preflight says
report/        who is told what: people, programs, pull requests; touches no network
saved_plan.py  a plan that is kept in a file; apply.py: executed later, or discarded
last_deployment.py  the record of what was deployed from this machine
  json_files.py  these two are read, checked and written as JSON
offline.py     a Plan without AWS
rollback.py    out of a deployment that goes wrong
destroy.py     an environment -> gone; status.py: how it is
purge/         what an environment retained -> gone
"""
