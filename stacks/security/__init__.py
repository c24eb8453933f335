"""Keys and roles.

stack.py          the template
keys.py           the customer-managed keys
key_policies.py   who may use each key
role_policies.py  what each role may do
"""
