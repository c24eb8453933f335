"""The stacks: complete, of these templates and settings, protected, and not changed by hand."""

from collections.abc import Iterator

from scripts.deployer import protect
from scripts.deployer.status import read_status

from .place import Place
from .results import Check, Failed, run

GROUP = "stacks"


def checks(place: Place) -> Iterator[Check]:
    yield run(GROUP, "stacks are complete", _complete, place)
    yield run(GROUP, "parameters are the settings", _parameters, place)
    for name in sorted(set(_deployed_otherwise(place))):
        yield run(GROUP, f"parameter {name}", place.skip, name)
    yield run(GROUP, "protection of the stacks", _protection, place)
    yield run(GROUP, "drift", _drift, place)


def _complete(place: Place) -> str:
    stacks = list(place.tree.walk())
    unfinished = [f"{stack.name} is {stack.status}" for _, stack in stacks if not stack.status.endswith("_COMPLETE")]
    rolled_back = [f"{stack.name} is {stack.status}" for _, stack in stacks if "ROLLBACK" in stack.status]
    missing = [
        f"{resource.path} ({resource.type}) is not deployed"
        for resource in place.expected.values()
        if not resource.physical_id
    ]
    if problems := [*unfinished, *rolled_back, *missing]:
        raise Failed("; ".join(dict.fromkeys(problems)))
    if not place.tree.stack.owned:
        raise Failed(f"{place.tree.stack.name} does not have the tag ManagedBy=payment-platform")
    return f"{len(stacks)} stacks with the {len(place.expected)} resources of the templates"


def _parameters(place: Place) -> str:
    deployed = place.tree.stack.parameters
    otherwise = set(_deployed_otherwise(place))
    problems = [
        f"{name} is {deployed.get(name, 'not set')!r}, the settings say {value!r}"
        for name, value in place.settings.items()
        if deployed.get(name) != value and name not in otherwise
    ]
    if problems:
        raise Failed(f"{'; '.join(problems)}; deploy with scripts/deploy.sh {place.environment}")
    return f"{len(place.settings) - len(otherwise)} parameters as in the settings"


def _deployed_otherwise(place: Place) -> list[str]:
    deployed = place.tree.stack.parameters
    return [name for name, value in place.settings.items() if deployed.get(name) != value and name in place.gaps]


def _protection(place: Place) -> str:
    root, rollout = place.tree.stack, place.rollout
    problems = []
    if rollout.termination_protection and not root.termination_protection:
        problems.append(f"{root.name} has no termination protection")
    if rollout.stack_policy:
        unprotected = protect.find_without_policy(place.client("cloudformation"), place.tree)
        problems += [f"{stack.name} does not have the stack policy" for stack in unprotected]
    if problems:
        raise Failed(f"{'; '.join(problems)}; scripts/deploy.sh {place.environment} sets it")
    shown = {"termination protection": rollout.termination_protection, "stack policies": rollout.stack_policy}
    return ", ".join(f"{name} {'on' if is_on else 'not asked for'}" for name, is_on in shown.items())


def _drift(place: Place) -> str:
    detected = read_status(place.tree.stack.name, place.platform.target, detect_drift=True)
    if detected.drifts:
        shown = [
            f"{drift.path} is {drift.status.lower()}{': ' + ', '.join(drift.properties) if drift.properties else ''}"
            for drift in detected.drifts
        ]
        raise Failed("; ".join(shown))
    return f"none in {len(detected.stacks)} stacks"
