"""Earlier releases of the templates, and the data that an update from them loses."""

_AUDIT = """\
  AuditTrail:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub payment-audit-${Environment}
  DeadLettersPolicy:
"""

CONFIRMED_LOSSES = ("--destroys", "PaymentLedger", "--destroys", "AuditTrail")


def edit_harmlessly(name: str, text: str) -> str:
    """Return a template with other alarm periods and a shorter retention period: an update loses no data."""
    text = text.replace("MessageRetentionPeriod: 1209600", "MessageRetentionPeriod: 86400")
    return text.replace("EvaluationPeriods: 1", "EvaluationPeriods: 2", 6) if name == "monitoring.yaml" else text


def edit_with_loss(name: str, text: str) -> str:
    """Return a template of a release with another key of the ledger, another queue, and another policy."""
    if name == "data.yaml":
        text = text.replace("sequence\n        KeyType: RANGE", "step\n        KeyType: RANGE")
        # CloudFormation does not replace a resource with a fixed name unless the name changes as well.
        text = text.replace("dynamodb-payment-ledger-${Environment}", "dynamodb-ledger-${Environment}")
        return text.replace("  DeadLettersPolicy:\n", _AUDIT, 1)
    if name == "security.yaml":
        return text.replace("dynamodb:PutItem", "dynamodb:*", 1)
    return text
