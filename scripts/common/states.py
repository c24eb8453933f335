"""What operators call the states of the workflow: in commands, on the page, and in the pictures."""

# In the order of a payment's path.
SHORT_NAMES = {
    "ValidatePayment": "Validate",
    "ProcessPayment": "Process",
    "PaymentOutcome": "Outcome",
    "PaymentComplete": "Complete",
    "NotifyUnsuccessful": "Notify",
    "RecordUnsuccessful": "Record notice",
    "PaymentUnsuccessful": "Unsuccessful",
    "RecordFailure": "Record",
    "FailureOutcome": "Outcome?",
    "SendToDeadLetterQueue": "DLQ",
    "NotifyFailure": "Notify",
    "RecordNotice": "Record notice",
    "PaymentFailed": "Failed",
}
# A path in one line leaves these out.
BOOKKEEPING = frozenset({"IdentifyRun", "RecordUnsuccessful", "FailureOutcome", "RecordNotice"})


def shorten_name(state: str) -> str:
    """Return the short name of a state; of one that has none, its name."""
    return SHORT_NAMES.get(state, state)
