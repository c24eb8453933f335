"""A simulated AWS account: CloudFormation, and the operations of other services that the deployer uses.

It uses no code that it examines: MiniStack's engine evaluates the templates.

endpoint.py        the services over HTTP, at one URL
faults.py          what can happen to a call: a connection that breaks, a refusal
wire.py            AWS's query protocol, by botocore's model of each operation
client.py          the operations of CloudFormation without HTTP, for tests of functions
cloudformation.py  the operations of CloudFormation, and the state that a test sets before it runs a command
stacks.py          the stacks and change sets that CloudFormation stores
templates.py       the resources and outputs of a template with its parameters
changes.py         the changes of a resource in a change set
refactors.py       the operations of stack refactors, which move resources
drift.py           what was changed by hand, and the change sets that revert it
deployments.py     the execution of change sets, and the resources that it provisions
stack_failures.py  operations without rollback, their later rollback, and express mode
imports.py         the resources that a change set imports, or refuses to
operations.py      the operations of stacks, which events belong to
holdings.py        the resources that deletion policies retain, with the rules of their services
functions.py       Lambda: functions with versions and aliases, deployed and changed by hand
data_services.py   DynamoDB, SQS, CloudWatch Logs, KMS and AWS Backup, which contain these resources
account.py         the resources of the account outside stacks
settings.py        the account's id, Region and time
"""
