"""Checks Lambda's concurrency limits against the reservations in the templates, and the workers of reconciliation.

Lambda refuses a reservation that leaves less than 100 unreserved, so an account with a lower limit, such as a new one,
cannot reserve anything. https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from botocore.exceptions import ClientError

from scripts.common.threads import map_in_threads
from stacks.settings import Settings

from ..finding import Finding, Verdict
from .resources import DeclaredResource
from .situation import Situation, unknown_finding

SUBJECT = "concurrency"
FUNCTION = "AWS::Lambda::Function"
# What Lambda keeps for functions without a reservation.
UNRESERVED = 100
# Of a low limit, the workers of reconciliation may take one in so many: most are left for payments.
_LIMIT_PER_WORKER = 5
_QUOTA = "Lambda's quota L-B99A9384 (concurrent executions)"


def check_concurrency(situation: Situation) -> list[Finding]:
    """Check that the account can reserve what the functions request."""
    client = situation.client("lambda")
    try:
        limits = client.get_account_settings()["AccountLimit"]
    except ClientError as error:
        return [unknown_finding(SUBJECT, "Lambda's concurrency", "lambda:GetAccountSettings", error)]
    limit, unreserved = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
    functions = [item for item in situation.resources if item.type == FUNCTION and _requested_concurrency(item)]
    new = [function for function in functions if _needs_reservation(function, situation)]
    requested = sum(map(_requested_concurrency, new))
    existing = [name for function in new if function.is_held_as(name := _function_name(function))]
    try:
        reserved = sum(_read_reservations(situation, existing))
    except ClientError as error:
        return [unknown_finding(SUBJECT, "what the functions have reserved", "lambda:GetFunctionConcurrency", error)]
    available = max(unreserved + reserved - UNRESERVED, 0)
    if requested <= max(available, reserved):
        if limit < UNRESERVED:
            return [
                _low_limit_finding(limit, int(situation.parameters[Settings.reconciliation_workers.parameter_name]))
            ]
        requested = sum(map(_requested_concurrency, functions))
        text = f"{requested} of {limit} concurrent executions are reserved for the platform"
        return [Finding(SUBJECT, Verdict.OK, text)]
    setting = Settings.reserved_concurrency.name
    required = limit - unreserved - reserved + requested + UNRESERVED
    return [
        Finding(
            SUBJECT,
            Verdict.FAILURE,
            f"{setting} = {_requested_concurrency(new[0])} for {len(new)} functions are not possible: the "
            f"account's limit is {limit}, of which {available} can be reserved",
            f"set {setting} to at most {available // len(new)} in stacks/environments.toml, or request "
            f"{required} of {_QUOTA}",
        )
    ]


def _low_limit_finding(limit: int, workers: int) -> Finding:
    """Return the finding for a limit so low that payments and the workers of reconciliation take it from each other."""
    text = f"the account runs at most {limit} functions at once, all of its functions together"
    step = f"before you rely on it, request 1000 of {_QUOTA}"
    if workers > limit // _LIMIT_PER_WORKER:
        setting = Settings.reconciliation_workers.name
        text += f"; {setting} = {workers} takes {min(workers, limit)} of them for each run of reconciliation"
        step += f", and until it is granted set {setting} to {max(1, limit // _LIMIT_PER_WORKER)} in "
        step += "stacks/environments.toml"
    return Finding(SUBJECT, Verdict.WARNING, text, step)


def _requested_concurrency(function: DeclaredResource) -> int:
    return int(function.properties.get("ReservedConcurrentExecutions", 0))


def _function_name(function: DeclaredResource) -> str:
    return str(function.properties.get("FunctionName", ""))


def _needs_reservation(function: DeclaredResource, situation: Situation) -> bool:
    """Whether CloudFormation sets the reservation; otherwise, an operator's reservation remains."""
    parameter = Settings.reserved_concurrency.parameter_name
    if not function.is_held_as(_function_name(function)):
        return True
    return situation.deployed_parameters.get(parameter) != situation.parameters.get(parameter)


def _read_reservations(situation: Situation, names: list[str]) -> list[int]:
    client = situation.client("lambda")
    answers = map_in_threads(lambda name: client.get_function_concurrency(FunctionName=name), names)
    return [answer.get("ReservedConcurrentExecutions", 0) for answer in answers]
