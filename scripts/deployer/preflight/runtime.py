"""Checks the dates on which Lambda ends the support of a runtime.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
"""

from dataclasses import dataclass
from datetime import date, timedelta

from ..finding import Finding, Verdict
from .concurrency import FUNCTION
from .resources import DeclaredResource
from .situation import Situation

SUBJECT = "runtime"
# AWS announces the end of support at least this long before it: https://docs.aws.amazon.com/lambda/latest/dg/runtime-support-policy.html
NOTICE = timedelta(days=180)


@dataclass(frozen=True)
class EndOfSupport:
    """When a runtime gets no security patches, no new functions, and no changes any more."""

    deprecated: date
    blocks_creation: date
    blocks_updates: date


# As published in 2026-07.
RUNTIMES = {
    "python3.10": EndOfSupport(date(2026, 10, 31), date(2026, 11, 30), date(2027, 1, 15)),
    "python3.11": EndOfSupport(date(2027, 6, 30), date(2027, 7, 31), date(2027, 8, 31)),
    "python3.12": EndOfSupport(date(2028, 10, 31), date(2028, 11, 30), date(2029, 1, 10)),
    "python3.13": EndOfSupport(date(2029, 6, 30), date(2029, 7, 31), date(2029, 8, 31)),
    "python3.14": EndOfSupport(date(2029, 6, 30), date(2029, 7, 31), date(2029, 8, 31)),
}


def check_runtime(situation: Situation) -> list[Finding]:
    """Check that Lambda still supports each runtime, and still allows functions with it to be created and updated."""
    functions = [resource for resource in situation.resources if resource.type == FUNCTION]
    runtimes = sorted({str(item.properties["Runtime"]) for item in functions if "Runtime" in item.properties})
    return [_judge_runtime(name, functions, situation.today) for name in runtimes]


def _judge_runtime(runtime: str, functions: list[DeclaredResource], today: date) -> Finding:
    end = RUNTIMES.get(runtime)
    if end is None:
        return Finding(SUBJECT, Verdict.UNKNOWN, f"{runtime}: the end of its support is not known to this release")
    is_new = any(
        function.held_ids is not None and not function.is_held_as(str(function.properties.get("FunctionName", "")))
        for function in functions
        if function.properties.get("Runtime") == runtime
    )
    verdict = Verdict.WARNING
    if is_new and today >= end.blocks_creation:
        verdict, text = Verdict.FAILURE, f"Lambda creates no function with it since {end.blocks_creation}"
    elif today >= end.blocks_updates:
        # A deployment that changes no function still succeeds.
        text = f"Lambda refuses any change of a function with it since {end.blocks_updates}"
    elif today >= end.deprecated:
        text = f"without security patches since {end.deprecated}; no change from {end.blocks_updates}"
    elif today >= end.deprecated - NOTICE:
        text = f"without security patches from {end.deprecated}; no change from {end.blocks_updates}"
    else:
        return Finding(SUBJECT, Verdict.OK, f"{runtime} is supported until {end.deprecated}")
    next_step = "set a newer runtime in stacks/, run the tests on it, and deploy"
    return Finding(SUBJECT, verdict, f"{runtime}: {text}", next_step)
