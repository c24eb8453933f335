"""Lambda's concurrency against the reservations that the templates ask for.

Lambda refuses a reservation that leaves less than 100 unreserved; in an account whose limit is lower, such as a new one
with a limit of 10, less than the whole limit: there nothing can be reserved.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import ClientError

from scripts.deployer.stack import WORKERS
from stacks.settings import Settings

from ..finding import Finding, Verdict
from .resources import DeclaredResource
from .situation import Situation, unknown_finding

SUBJECT = "concurrency"
FUNCTION = "AWS::Lambda::Function"
# What Lambda keeps for the functions without a reservation.
UNRESERVED = 100
_QUOTA = "Lambda's quota L-B99A9384 (concurrent executions)"


def check_concurrency(situation: Situation) -> list[Finding]:
    """Whether the account can reserve what the functions ask for."""
    client = situation.client("lambda")
    try:
        limits = client.get_account_settings()["AccountLimit"]
    except ClientError as error:
        return [unknown_finding(SUBJECT, "Lambda's concurrency", "lambda:GetAccountSettings", error)]
    limit, unreserved = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
    functions = [one for one in situation.resources if one.type == FUNCTION and _requested_concurrency(one)]
    asking = [one for one in functions if _needs_reservation(one, situation)]
    requested = sum(map(_requested_concurrency, asking))
    try:
        reserved = sum(
            _read_reservations(
                situation, [_function_name(one) for one in asking if one.is_held_as(_function_name(one))]
            )
        )
    except ClientError as error:
        return [unknown_finding(SUBJECT, "what the functions have reserved", "lambda:GetFunctionConcurrency", error)]
    available = max(unreserved + reserved - UNRESERVED, 0)
    if requested <= max(available, reserved):
        return [_sufficient_finding(limit, sum(map(_requested_concurrency, functions)))]
    setting = Settings.reserved_concurrency.name
    needed = limit - unreserved - reserved + requested + UNRESERVED
    return [
        Finding(
            SUBJECT,
            Verdict.FAILURE,
            f"{setting} = {_requested_concurrency(asking[0])} for {len(asking)} functions cannot be had: the "
            f"account's limit is {limit}, of which {available} can be reserved",
            f"set {setting} to at most {available // len(asking)} in stacks/environments.toml, or request "
            f"{needed} of {_QUOTA}",
        )
    ]


def _sufficient_finding(limit: int, requested: int) -> Finding:
    if limit < UNRESERVED:
        return Finding(
            SUBJECT,
            Verdict.WARNING,
            f"the account runs at most {limit} functions at once, all of its functions together",
            f"before you rely on it, request 1000 of {_QUOTA}",
        )
    return Finding(SUBJECT, Verdict.OK, f"{requested} of {limit} concurrent executions are reserved for the platform")


def _requested_concurrency(function: DeclaredResource) -> int:
    return int(function.properties.get("ReservedConcurrentExecutions", 0))


def _function_name(function: DeclaredResource) -> str:
    return str(function.properties.get("FunctionName", ""))


def _needs_reservation(function: DeclaredResource, situation: Situation) -> bool:
    """CloudFormation reserves for a new function, and again when the setting changes; what an operator set meanwhile
    stays."""
    parameter = Settings.reserved_concurrency.parameter_name
    if not function.is_held_as(_function_name(function)):
        return True
    return situation.deployed_parameters.get(parameter) != situation.parameters.get(parameter)


def _read_reservations(situation: Situation, names: list[str]) -> list[int]:
    client = situation.client("lambda")
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = pool.map(lambda name: client.get_function_concurrency(FunctionName=name), names)
        return [answer.get("ReservedConcurrentExecutions", 0) for answer in answers]
