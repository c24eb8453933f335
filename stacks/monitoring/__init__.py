"""Alarms, metrics and the dashboard.

stack.py      the template
alarms.py     the kinds of alarms
backup_alarms.py  the alarms on the daily backup
dashboard.py  the dashboard's body
"""
