"""Deletes what an environment retained outside its stack, so that its names can be used again.

leftover.py   an existing resource, and whether its tags name this environment
services.py   finds and deletes SQS queues, CloudWatch log groups, DynamoDB tables, backup vaults and S3 buckets
tagged.py     what has the environment's tags, whatever its name
keys.py       KMS keys, which have no name
search.py     the leftovers of an environment, by its templates and its tags
"""
