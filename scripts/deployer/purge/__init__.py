"""Delete what an environment retained outside its stack, so that its names can be used again.

leftover.py   a resource that exists, and whether its tags say that it is this environment's
tables.py     tables: how they are found, and deleted; the next four are alike
queues.py     queues
log_groups.py log groups
vaults.py     backup vaults
keys.py       keys, which have no name
holders.py    a resource -> the stack that holds it, if any
search.py     templates -> the leftovers of an environment
"""
