"""An AWS account in memory, over HTTP: CloudFormation, and what the deployer asks of other services.

Nothing here is computed by the code that it examines: templates are evaluated by the engine of MiniStack.

endpoint.py        the services over HTTP, at one URL
wire.py            AWS's query protocol, by botocore's description of each operation
client.py          the operations of CloudFormation without HTTP, for tests of functions
cloudformation.py  the operations of CloudFormation, and what a test sets before it runs a command
stacks.py          what CloudFormation keeps of stacks and change sets
templates.py       what a template comes to with its parameters
changes.py         how a change set lists the changes of a resource
deployments.py     how a deployment goes on, and what it provisions
holdings.py        the resources that deletion policies retain, with the rules of their services
data_services.py   DynamoDB, SQS, CloudWatch Logs, KMS and AWS Backup, which hold these
account.py         what the account has besides stacks
settings.py        the account's id, Region and time
"""
