"""Alarms, metrics and the dashboard.

stack.py           the template
alarms.py          the alarms, one row each
alarm_resources.py the rows as resources, and the composite alarm
metric_filters.py  metrics that are made of log lines
dashboard.py       the dashboard's body
"""
