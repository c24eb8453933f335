"""How the artifacts stack differs from its template and settings, and when it is updated to them.

What adds rights is executed before the platform's change set, and what takes rights away after it has succeeded; if one
change does both, the stack is updated twice (transition.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from scripts.common import templates
from scripts.common.errors import UserError
from stacks import emit

from . import transition
from .change_set import NOT_EXECUTED, Overtaken
from .deployment_options import ARTIFACTS_STACK, stack_name
from .planning import Comparison, compare_trees
from .saved_plan import digest_terms
from .session import Session
from .stack import Stack, check_owned, check_ready, describe_stack, is_deployed, read_original_template


@dataclass(frozen=True)
class Steps:
    """When the artifacts stack is updated: before the platform, after it, or both."""

    before: bool = False
    after: bool = False


@dataclass(frozen=True)
class BootstrapChange:
    """How the artifacts stack differs from its template and settings."""

    stack: Stack
    compared: Comparison
    # The template in force in the end, and its parameters; and the one while the platform is deployed, or why there is
    # none.
    text: str
    parameters: dict[str, str]
    steps: Steps = Steps()
    text_during: str = ""
    problem: str = ""
    # The environments whose rights of an earlier release stay.
    kept_for: tuple[str, ...] = ()
    # The deployed template, and the states of all environments (``read_environments``): what the change rests on.
    deployed_text: Any = ""
    environments: dict[str, str] = field(default_factory=dict)
    # Whether the platform changes with it; else its deployed release is that which the end is made for.
    joins_platform: bool = True

    @property
    def changed_at(self) -> dict[str, str]:
        return {self.stack.id: self.stack.changed_at}

    @property
    def terms(self) -> str:
        """What a saved plan of it rests on."""
        return digest_terms(
            changed_at=self.changed_at,
            environments=self.environments,
            steps=[self.steps.before, self.steps.after],
            joins_platform=self.joins_platform,
        )


# A template with its parameters.
Source = tuple[templates.Template, dict[str, str]]


def complete_parameters(parameters: dict[str, str], body: str) -> dict[str, str]:
    """Return the value of each parameter that the template declares: the given one, or the default."""
    declared = templates.parse_template(body).get("Parameters", {})
    return {name: parameters.get(name, str(parameter.get("Default", ""))) for name, parameter in declared.items()}


def find_change(session: Session, stack: Stack) -> BootstrapChange | None:
    """Return how the existing stack differs, or None if a deployment of this environment has nothing to change in it.

    Raises ``UserError`` if the stack cannot be updated, or not so that other environments keep their rights.
    """
    options, cloudformation = session.options, session.cloudformation
    body = (options.templates / "artifacts.yaml").read_text(encoding="utf-8")
    parameters = complete_parameters(options.bootstrap, body)
    if stack.keeps_failed:
        # It is updated in part, whatever its template says.
        check_ready(stack)
    if is_deployed(cloudformation, stack, body, parameters):
        return None
    pseudo = session.target.pseudo_parameters()
    deployed_text = read_original_template(cloudformation, stack.name)
    old = templates.parse_template(deployed_text)
    deployed = transition.Release.from_template(old, stack.parameters, pseudo)
    new = transition.Release.from_template(templates.parse_template(body), parameters, pseudo)
    environments = read_environments(session, transition.list_environments(old))
    other_environments = tuple(name for name, state in environments.items() if state and name != options.environment)
    end = transition.add_kept_rights(deployed, new, transition.keep_of(other_environments))
    compared = compare_sources(session, (old, stack.parameters), (end, parameters))
    if compared.is_empty:
        return None
    check_owned(stack)
    check_ready(stack)
    kept_for = other_environments if end != new.template else ()
    text = emit.to_yaml(end) if kept_for else body
    change = BootstrapChange(
        stack,
        compared,
        text,
        parameters,
        kept_for=kept_for,
        deployed_text=deployed_text,
        environments=environments,
    )
    try:
        during = transition.add_kept_rights(deployed, new, transition.keep_all)
    except UserError as error:
        return replace(change, steps=Steps(before=True, after=True), problem=str(error))
    steps = choose_steps(session, (old, stack.parameters), during, (end, parameters))
    return replace(change, steps=steps, text_during=emit.to_yaml(during) if steps.after else text)


def compare_sources(session: Session, before: Source, after: Source) -> Comparison:
    old, new = ((templates.Tree(template), parameters) for template, parameters in (before, after))
    return compare_trees(ARTIFACTS_STACK, old, new, session.target.pseudo_parameters())


def choose_steps(session: Session, before: Source, during: templates.Template, after: Source) -> Steps:
    """Return when the stack is updated, given what is deployed, in force in between, and in force in the end."""
    between = (during, after[1])
    return Steps(
        before=not compare_sources(session, before, between).is_empty,
        after=not compare_sources(session, between, after).is_empty,
    )


def read_environments(session: Session, environments: Iterable[str]) -> dict[str, str]:
    """Return the state (``Stack.state``) of the platform in each environment, that of the session included."""
    return {
        environment: describe_stack(session.cloudformation, stack_name(environment)).state
        for environment in sorted({*environments, session.options.environment})
    }


def check_not_overtaken(session: Session, change: BootstrapChange) -> None:
    """Raise ``Overtaken`` if the stack or an environment has changed since it was read: the change rests on both."""
    stack, text = read_artifacts_stack(session)
    is_same = stack.state == change.stack.state and text == change.deployed_text
    reason = find_changed_environment(session, change.environments) if is_same else ""
    if reason or not is_same:
        raise Overtaken(f"{reason or f'{ARTIFACTS_STACK} was deployed since it was read'}; {NOT_EXECUTED}")


def read_artifacts_stack(session: Session) -> tuple[Stack, Any]:
    stack = describe_stack(session.cloudformation, ARTIFACTS_STACK)
    return stack, read_original_template(session.cloudformation, ARTIFACTS_STACK)


def find_changed_environment(session: Session, expected: dict[str, str]) -> str:
    """Return the environment that is not in its expected state, as a sentence, or an empty text."""
    for environment, state in read_environments(session, expected).items():
        is_gone = not state and environment != session.options.environment
        if state != expected.get(environment) and not is_gone:
            return f"{stack_name(environment)} was {'deployed' if state else 'deleted'} since the plan was made"
    return ""


def describe_kept(session: Session, change: BootstrapChange) -> tuple[str, ...]:
    """Return the notice of the rights that other environments keep, if they do."""
    if not change.kept_for:
        return ()
    platforms = ", ".join(map(stack_name, change.kept_for))
    environment = session.options.environment
    return (
        f"rights that only an earlier release needs are taken from {environment}, and stay for {platforms} until that "
        "is deployed as well",
    )
