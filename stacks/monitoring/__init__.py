"""Alarms, metrics and the dashboard.

stack.py           the template
alarm_table.py     the alarms, one row each
alarms.py          the table as resources, and the composite alarm
metric_filters.py  metrics that are made of log lines
dashboard.py       the dashboard's body
"""
