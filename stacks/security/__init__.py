"""Keys and roles: who may do what.

stack.py          the template
keys.py           the customer-managed keys
key_policies.py   who may use each
role_policies.py  what each role may do
"""
