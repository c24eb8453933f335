"""What runs: the live alias of each function leads to its newest version, which is the code of this checkout."""

from collections.abc import Iterator

from .expected import Expected
from .place import Place
from .results import Check, Failed, run

GROUP = "versions"


def checks(place: Place) -> Iterator[Check]:
    yield run(GROUP, "code of this checkout", _code, place)
    for alias in place.of_type("AWS::Lambda::Alias"):
        name = f"live {alias.properties['FunctionName']}"
        yield run(GROUP, name, _live, place, alias)


def _code(place: Place) -> str:
    versions = place.of_type("AWS::Lambda::Version")
    if problems := [line for version in versions for line in place.differences(version)]:
        raise Failed(f"{'; '.join(problems)}; deploy this checkout with scripts/deploy.sh {place.environment}")
    return f"{len(versions)} versions with the digests of the templates"


def _live(place: Place, alias: Expected) -> str:
    function = alias.properties["FunctionName"]
    functions = place.client("lambda")
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
