"""The stacks are complete, of these templates and settings, protected, and without drift."""

from collections.abc import Iterator, Mapping

from scripts.common.suggestion import suggest_command
from scripts.deployer.stack_safeguards import find_without_policy
from scripts.deployer.status import read_status

from .results import Check, Failed, run_check
from .run import Run

GROUP = "stacks"


def checks(run: Run) -> Iterator[Check]:
    overridden = [
        name for name in find_parameter_differences(run.tree.stack.parameters, run.settings) if name in run.gaps
    ]
    yield run_check(GROUP, "stacks are complete", check_completeness, run)
    yield run_check(GROUP, "parameters are the settings", _check_parameters, run, overridden)
    for name in overridden:
        yield run_check(GROUP, f"parameter {name}", run.skip_gap, name)
    yield run_check(GROUP, "protection of the stacks", _check_protection, run)
    yield run_check(GROUP, "drift", check_drift, run, run.tree.stack.name)


def check_completeness(run: Run) -> str:
    stacks = [stack for _, stack in run.tree.walk()]
    problems = [
        f"{stack.name} is {stack.status}"
        for stack in stacks
        if not stack.status.endswith("_COMPLETE") or "ROLLBACK" in stack.status
    ]
    problems += [
        f"{resource.path} ({resource.type}) is not deployed"
        for resource in run.expected.values()
        if not resource.physical_id
    ]
    if problems:
        raise Failed("; ".join(problems))
    if not run.tree.stack.owned:
        raise Failed(f"{run.tree.stack.name} does not have the tag ManagedBy=payment-platform")
    return f"{len(stacks)} stacks with the {len(run.expected)} resources of the templates"


def find_parameter_differences(
    deployed: Mapping[str, str], settings: Mapping[str, str], source: str = "the settings say"
) -> dict[str, str]:
    """Return, by name, a line for each deployed parameter that differs from the settings."""
    return {
        name: f"{name} is {deployed.get(name, 'not set')!r}, {source} {value!r}"
        for name, value in settings.items()
        if deployed.get(name) != value
    }


def _check_parameters(run: Run, overridden: list[str]) -> str:
    differences = find_parameter_differences(run.tree.stack.parameters, run.settings)
    if problems := [line for name, line in differences.items() if name not in overridden]:
        raise Failed(f"{'; '.join(problems)}; deploy with {suggest_command('deploy', run.environment)}")
    return f"{len(run.settings) - len(overridden)} parameters as in the settings"


def _check_protection(run: Run) -> str:
    root, rollout = run.tree.stack, run.rollout
    problems = []
    if rollout.termination_protection and not root.termination_protection:
        problems.append(f"{root.name} has no termination protection")
    if rollout.stack_policy:
        unprotected = find_without_policy(run.client("cloudformation"), run.tree)
        problems += [f"{stack.name} does not have the stack policy" for stack in unprotected]
    if problems:
        raise Failed(f"{'; '.join(problems)}; {suggest_command('deploy', run.environment)} sets it")
    protections = {"termination protection": rollout.termination_protection, "stack policies": rollout.stack_policy}
    return ", ".join(f"{name} {'on' if is_on else 'not required'}" for name, is_on in protections.items())


def check_drift(run: Run, stack: str) -> str:
    detected = read_status(stack, run.platform.target, detect_drift=True)
    if drifts := [
        f"{drift.path} is {drift.status.lower()}{': ' + ', '.join(drift.properties) if drift.properties else ''}"
        for drift in detected.drifts
    ]:
        raise Failed("; ".join(drifts))
    return f"none in {len(detected.stacks)} stack{'' if len(detected.stacks) == 1 else 's'}"
