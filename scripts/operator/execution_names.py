"""Names and ARNs of executions. A name is made of the payment's transaction id and nothing else of the request.

Names appear unmasked in ARNs, logs and metrics. Whatever is derived from a request alone, even a hash, can be found
by trying all amounts.
"""

import re
import secrets
import string

from stacks import names

# "To enable logging with CloudWatch Logs, the name should only contain 0-9, A-Z, a-z, - and _", 80 of them at most.
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
LONGEST_NAME = 80
# An underscore is followed by one of these letters, by itself, or by what begins a suffix: a digit or `redrive`.
_ESCAPES = {"_": "__", ".": "_d", ":": "_c"}
_REDRIVE = "_redrive"
_REDRIVE_DIGITS = 6
_SUFFIX = re.compile(rf"(_[0-9]+|{_REDRIVE}[0-9a-f]{{{_REDRIVE_DIGITS}}})?")
_LONGEST_ID_PART = LONGEST_NAME - len(_REDRIVE) - _REDRIVE_DIGITS

# The part of an ARN by which an Express execution is told from others.
EXPRESS = ":express:"
_EXPRESS_WORKFLOW = names.EXPRESS_WORKFLOW.removesuffix("${Environment}")

_ALPHANUMERIC = string.digits + string.ascii_letters
# No id begins with the first of these, so no number that an id stands for begins with a zero.
_ID_CHARACTERS = "._:-" + _ALPHANUMERIC


def encode_id(transaction_id: str) -> str:
    """Return the transaction id as part of a name: at most 66 characters, unique for each id.

    Most ids stay readable. One with too many characters to escape becomes a number after an underscore, which begins no
    other name.
    """
    readable = "".join(_ESCAPES.get(character, character) for character in transaction_id)
    return readable if len(readable) <= _LONGEST_ID_PART else f"_{_as_number(transaction_id)}"


def name_execution(transaction_id: str, number: int = 1) -> str:
    """Return the name of a payment's first execution, or of execution ``number`` after those that failed."""
    return encode_id(transaction_id) + (f"_{number}" if number > 1 else "")


def name_redrive(transaction_id: str) -> str:
    """Return a name with a random ending for an execution that redrives a failed payment."""
    return f"{encode_id(transaction_id)}{_REDRIVE}{secrets.token_hex(_REDRIVE_DIGITS // 2)}"


def is_redrive(name: str, transaction_id: str) -> bool:
    """Return whether ``name_redrive`` may have named an execution of this payment."""
    return bool(re.fullmatch(rf"{_REDRIVE}[0-9a-f]{{{_REDRIVE_DIGITS}}}", name.removeprefix(encode_id(transaction_id))))


def is_named_after(name: str, transaction_id: str) -> bool:
    """Return whether a command or the demonstration may have named an execution after this payment.

    This includes former names, with hyphens instead of escapes and an ending after a hyphen, which may be another
    payment's; the input of the execution decides.
    """
    encoded = encode_id(transaction_id)
    if name.startswith(encoded) and _SUFFIX.fullmatch(name, len(encoded)):
        return True
    base, _, ending = name.removeprefix("redrive-").rpartition("-")
    return base == re.sub(r"[^A-Za-z0-9_-]", "-", transaction_id)[:50] and ending.isalnum()


def is_express(arn: str) -> bool:
    """Whether an ARN is that of the Express workflow, or of one of its executions.

    An execution's is ``arn:PARTITION:states:REGION:ACCOUNT:express:WORKFLOW:NAME:ID``, as in
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
    """
    return f":{_EXPRESS_WORKFLOW}" in arn


def name_of(execution_arn: str) -> str:
    """Return the name of an execution of either workflow."""
    return execution_arn.split(":")[7] if EXPRESS in execution_arn else execution_arn.rsplit(":", 1)[-1]


def _as_number(transaction_id: str) -> str:
    """Convert the id from base 66 to base 62, at most 65 digits and letters."""
    number = 0
    for character in transaction_id:
        number = number * len(_ID_CHARACTERS) + _ID_CHARACTERS.index(character)
    digits = ""
    while number:
        number, digit = divmod(number, len(_ALPHANUMERIC))
        digits = _ALPHANUMERIC[digit] + digits
    return digits
