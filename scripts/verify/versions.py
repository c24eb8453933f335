"""The live alias of each function points to its newest version, which is the code of this checkout."""

from collections.abc import Iterator

from scripts.common.suggestion import suggest_command

from .expected import Expected
from .results import Check, Failed, run_check
from .run import Run

GROUP = "versions"


def checks(run: Run) -> Iterator[Check]:
    yield run_check(GROUP, "code of this checkout", _check_code, run)
    for alias in run.select_resources("AWS::Lambda::Alias"):
        yield run_check(GROUP, f"live {alias.properties['FunctionName']}", _check_live_version, run, alias)


def _check_code(run: Run) -> str:
    versions = run.select_resources("AWS::Lambda::Version")
    run.check_declared(versions, f"; deploy this checkout with {suggest_command('deploy', run.environment)}")
    return f"{len(versions)} versions with the digests of the templates"


def _check_live_version(run: Run, alias: Expected) -> str:
    function = alias.properties["FunctionName"]
    functions = run.client("lambda")
    pages = functions.get_paginator("list_versions_by_function").paginate(FunctionName=function)
    hashes = {version["Version"]: version["CodeSha256"] for page in pages for version in page["Versions"]}
    newest = max((version for version in hashes if version != "$LATEST"), key=int, default="none")
    live = functions.get_alias(FunctionName=function, Name=alias.properties["Name"])
    version = live["FunctionVersion"]
    if version != newest:
        raise Failed(f"{function}: live is version {version}, the newest published one is {newest}")
    if hashes[version] != hashes["$LATEST"]:
        raise Failed(f"{function}: the code of version {version} is not the code of the function")
    if weights := live.get("RoutingConfig", {}).get("AdditionalVersionWeights"):
        raise Failed(f"{function}: live sends a part of the calls to version {', '.join(weights)}")
    return f"version {version}, the newest"
