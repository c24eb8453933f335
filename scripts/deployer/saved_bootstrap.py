"""The change of the artifacts stack in a saved plan, read anew from its change sets, and what it must not take away."""

from dataclasses import replace

from scripts.common import templates
from scripts.common.errors import UserError
from stacks import emit

from . import transition
from .bootstrap_change import BootstrapChange, Steps, choose_steps, compare_sources, read_environments
from .bootstrap_proposal import BootstrapProposal, check_within
from .change_set import Proposal, read_proposed_template
from .deployment_options import ARTIFACTS_STACK, stack_name
from .session import Session
from .stack import Stack, read_original_template


def read_proposal(
    session: Session,
    stack: Stack,
    final: Proposal,
    steps: Steps,
    environments: dict[str, str],
    remarks: list[str],
    *,
    joins_platform: bool,
) -> BootstrapProposal:
    """Return the proposal of a saved change set, with the plan that follows from it."""
    deployed_text = read_original_template(session.cloudformation, stack.name)
    old = templates.parse_template(deployed_text)
    text = read_proposed_template(final)
    new = templates.parse_template(text)
    compared = compare_sources(session, (old, stack.parameters), (new, final.parameters))
    # A template in JSON is returned parsed.
    body = text if isinstance(text, str) else emit.to_yaml(new)
    change = BootstrapChange(
        stack,
        compared,
        body,
        final.parameters,
        steps,
        deployed_text=deployed_text,
        environments=environments,
        joins_platform=joins_platform,
    )
    return BootstrapProposal(session, change, final, compared.make_plan(final.changes, final.notices), remarks)


def read_first(session: Session, artifacts: BootstrapProposal, first: Proposal) -> None:
    """Add the saved change set that is executed first, with its plan, to the proposal.

    Raises ``UserError`` if it grants anything that neither the deployed template nor that of the end grants.
    """
    change, pseudo = artifacts.change, session.target.pseudo_parameters()
    text = read_proposed_template(first)
    template = templates.parse_template(text)
    deployed, end, during = (
        transition.Release.from_template(source, parameters, pseudo)
        for source, parameters in (
            (templates.parse_template(change.deployed_text), change.stack.parameters),
            (templates.parse_template(change.text), change.parameters),
            (template, first.parameters),
        )
    )
    if first.parameters != change.parameters or not transition.holds_only_rights_of(deployed, end, during):
        raise UserError("the first change set grants more than the plan, and nothing was changed; create a new plan")
    check_within(first.changes, artifacts.plan.stack)
    compared = compare_sources(session, (deployed.template, change.stack.parameters), (template, first.parameters))
    artifacts.first, artifacts.first_plan = first, compared.make_plan(first.changes, first.notices)
    artifacts.change = replace(change, text_during=text)


def check_kept_rights(artifacts: BootstrapProposal) -> None:
    """Raise ``UserError`` if a saved plan takes rights from another environment that exists.

    Such a plan was made before that environment was deployed, and its file, if it was edited, does not name it.
    """
    change, session = artifacts.change, artifacts.session
    pseudo = session.target.pseudo_parameters()
    old, end = (templates.parse_template(text) for text in (change.deployed_text, change.text))
    deployed = transition.Release.from_template(old, change.stack.parameters, pseudo)
    new = transition.Release.from_template(end, change.parameters, pseudo)
    states = read_environments(session, transition.list_environments(old))
    for environment, state in states.items():
        if not state or environment == session.options.environment:
            continue
        if transition.add_kept_rights(deployed, new, transition.keep_of([environment])) != new.template:
            name = stack_name(environment)
            raise UserError(
                f"it takes permissions away that {name} may need, and nothing was changed; create a new plan"
            )


def check_steps(artifacts: BootstrapProposal) -> None:
    """Raise ``UserError`` unless a saved plan updates the stack before and after the platform as its templates require.

    A file that was edited could take away what running functions need, or leave out what the deployment needs.
    """
    change, pseudo = artifacts.change, artifacts.session.target.pseudo_parameters()
    old, end = (templates.parse_template(text) for text in (change.deployed_text, change.text))
    deployed = transition.Release.from_template(old, change.stack.parameters, pseudo)
    new = transition.Release.from_template(end, change.parameters, pseudo)
    during = transition.add_kept_rights(deployed, new, transition.keep_all)
    steps = choose_steps(artifacts.session, (old, change.stack.parameters), during, (end, change.parameters))
    has_first = artifacts.first is not None
    is_first_right = has_first == (steps.before and steps.after) and (not has_first or _has_template(artifacts, during))
    if steps != change.steps or not is_first_right:
        platform = artifacts.session.options.stack_name
        raise UserError(
            f"{ARTIFACTS_STACK} would not be updated before and after {platform} as its templates require, and nothing "
            "was changed; create a new plan"
        )


def _has_template(artifacts: BootstrapProposal, during: templates.Template) -> bool:
    """Whether the first change set, which is in force while the platform is deployed, means this template."""
    change = artifacts.change
    first = templates.parse_template(change.text_during)
    return compare_sources(artifacts.session, (first, change.parameters), (during, change.parameters)).is_empty
