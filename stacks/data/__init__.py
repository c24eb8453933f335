"""Tables, queue and topic.

stack.py    the template
backups.py  a daily backup of the tables
"""
