"""The log group that every stack uses: encrypted, masked, with a retention period, and retained with its data."""

from troposphere import Equals, If, Ref, Template
from troposphere.logs import LogGroup

from . import references
from .log_masking import masking_policy
from .wiring import RETAINED, Value, platform_tags


def add_log_group(
    template: Template, title: str, name: str, *, key_arn: Value, retention_days: Value, masked: Value
) -> LogGroup:
    """Add a log group and return it. It has a data protection policy if the setting ``masked`` is true."""
    template.conditions.setdefault("MasksLogs", Equals(masked, "true"))
    group: LogGroup = template.add_resource(
        LogGroup(
            title,
            LogGroupName=references.in_template(name),
            RetentionInDays=retention_days,
            KmsKeyId=key_arn,
            DataProtectionPolicy=If("MasksLogs", masking_policy(), Ref("AWS::NoValue")),
            Tags=platform_tags(),
            **RETAINED,
        )
    )
    return group
