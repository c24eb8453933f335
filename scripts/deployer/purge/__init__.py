"""Delete what an environment retained outside its stack, so that its names can be used again.

leftover.py   an existing resource, and whether its tags name this environment
tables.py     finds and deletes DynamoDB tables; the next four do the same for their services
queues.py     SQS queues
log_groups.py CloudWatch log groups
vaults.py     backup vaults
keys.py       KMS keys, which have no name
holders.py    which stack, if any, holds a resource
search.py     the leftovers of an environment, by its templates
"""
