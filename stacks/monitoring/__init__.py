"""Alarms, metrics and the dashboard.

stack.py           the template
alarms.py          the table of the alarms
alarm_resources.py the alarms as resources, and the composite alarm
metric_filters.py  the metrics that CloudWatch extracts from log lines
dashboard.py       the dashboard's body
"""
