"""Finds resources outside the stack whose names the templates declare: CloudFormation cannot create them again.

An import takes them in, where it can (importable.py).
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from scripts.common.errors import AWS_ERRORS, UserError
from scripts.common.suggestion import complete_aws_commands, suggest_command
from scripts.common.threads import map_in_threads
from scripts.deployer.stack import OWNER_TAG

from ..deployment_options import ARTIFACTS_STACK
from ..finding import Finding, Verdict
from .importable import GUIDE, ImportedResource, describe_import, describe_obstacle, examine_import, is_importable
from .name_lookups import LOOKUPS, Lookup, exclusive_name
from .resources import DeclaredResource
from .situation import Situation, unknown_finding

SUBJECT = "names"
_REGIONS = "docs/deploying.md#accounts-and-regions"


@dataclass
class _Survey:
    """The answers of the services to the names that a deployment would create."""

    asked_names: int = 0
    # The declared resources whose names exist, with the names.
    existing: list[tuple[DeclaredResource, str]] = field(default_factory=list)
    # What could not be checked, and of which resources.
    unknowns: dict[Finding, list[DeclaredResource]] = field(default_factory=dict)


def check_existing_names(situation: Situation) -> list[Finding]:
    """Return a failure for each name that exists outside the stack; unknown if a service does not answer.

    With ``imports_existing``, a name is a failure if its resource cannot be imported.
    """
    survey = _survey_names(situation)
    findings = list(survey.unknowns)
    for resource, name in survey.existing:
        lookup = LOOKUPS[resource.type]
        if resource.deployed_id or not (situation.imports_existing and resource.is_of_environment):
            findings.append(_existing_name_finding(situation, name, resource, lookup))
        elif is_importable(resource):
            findings += examine_import(situation, SUBJECT, resource, name)
            if _is_ours(_read_tags(situation, name, lookup)) is False:
                text = f"{name} ({resource.type}) does not have this platform's tags"
                step = "make sure that nothing else uses it: once it is imported, deployments change it"
                findings.append(Finding(SUBJECT, Verdict.WARNING, text, step))
        else:
            delete = complete_aws_commands(lookup.delete.format(name=name, **situation.place))
            reason, step = describe_obstacle(resource, delete, is_account_wide=lookup.is_account_wide)
            text = f"{name} ({resource.type}) exists outside {situation.stack_name}: {reason}"
            findings.append(Finding(SUBJECT, Verdict.FAILURE, text, step))
    if findings:
        return findings
    if survey.existing:
        return [Finding(SUBJECT, Verdict.OK, f"the {len(survey.existing)} names that exist can be imported")]
    return [Finding(SUBJECT, Verdict.OK, f"none of the {survey.asked_names} names to be created exists")]


def find_imported_resources(situation: Situation) -> tuple[ImportedResource, ...]:
    """Return the existing resources that an import takes in, in the order of their paths.

    Raises ``UserError`` if one of them may be missing: the deployment after the import would try to create it.
    """
    survey = _survey_names(situation)
    for finding, resources in survey.unknowns.items():
        if any(is_importable(resource) and not resource.deployed_id for resource in resources):
            step = f"{finding.next_step} and " if finding.next_step else ""
            raise UserError(f"{finding.text}; nothing was changed; {step}import again")
    existing = sorted(survey.existing, key=lambda pair: pair[0].path)
    return tuple(
        describe_import(situation, resource, LOOKUPS[resource.type].property, name)
        for resource, name in existing
        if is_importable(resource) and not resource.deployed_id
    )


def _survey_names(situation: Situation) -> _Survey:
    """Ask the services for each name that the stacks do not hold."""
    survey = _Survey()
    new: dict[Lookup, dict[str, DeclaredResource]] = {}
    unreadable: list[DeclaredResource] = []
    for resource in situation.resources:
        name = exclusive_name(resource.type, resource.properties)
        if not name:
            continue
        if resource.held_ids is None:
            unreadable.append(resource)
        elif not resource.is_held_as(name):
            new.setdefault(LOOKUPS[resource.type], {})[name] = resource
    # One call finds all names, or each needs its own.
    questions = [
        (lookup, names)
        for lookup, resources in new.items()
        for names in ([list(resources)] if lookup.is_batch else [[name] for name in resources])
    ]
    for existing, unknowns in map_in_threads(
        lambda item: _ask_service(situation, item[0], item[1], new[item[0]]), questions
    ):
        survey.existing += existing
        # A service that denies the call for one name denies it for the others.
        for finding, resources in unknowns.items():
            survey.unknowns.setdefault(finding, []).extend(resources)
    if unreadable:
        text = "names that exist could not be checked: what the stack holds is not known"
        finding = Finding(SUBJECT, Verdict.UNKNOWN, text, "grant cloudformation:ListStackResources")
        survey.unknowns[finding] = unreadable
    survey.asked_names = sum(map(len, new.values()))
    return survey


def _ask_service(
    situation: Situation, lookup: Lookup, names: list[str], resources: dict[str, DeclaredResource]
) -> tuple[list[tuple[DeclaredResource, str]], dict[Finding, list[DeclaredResource]]]:
    """Return the resources whose names exist, with the names, and what could not be checked."""
    try:
        existing = lookup.find(situation, names)
    except AWS_ERRORS as error:
        topic = f"whether names of {resources[names[0]].type} exist"
        return [], {unknown_finding(SUBJECT, topic, lookup.action, error): [resources[name] for name in names]}
    return [(resources[name], name) for name in sorted(existing)], {}


def _existing_name_finding(situation: Situation, name: str, resource: DeclaredResource, lookup: Lookup) -> Finding:
    stack = situation.stack_name if resource.is_of_environment else ARTIFACTS_STACK
    text = f"{name} ({resource.type}) exists outside {stack}"
    is_ours = _is_ours(_read_tags(situation, name, lookup))
    if is_ours is False:
        text = f"{text}: it is not this platform's"
    elif lookup.is_account_wide:
        text = f"{text}: an earlier stack or another Region has it, because such names are unique in the account"
    elif is_ours:
        text = f"{text}: an earlier stack of this platform left it"
    delete = complete_aws_commands(lookup.delete.format(name=name, **situation.place))
    return Finding(SUBJECT, Verdict.FAILURE, text, _next_step(situation, resource, lookup, is_ours, delete))


def _is_ours(tags: Mapping[str, str] | None) -> bool | None:
    """Whether a resource has the owner tag; None if its tags are not known."""
    return None if tags is None else tags.get(OWNER_TAG["Key"]) == OWNER_TAG["Value"]


def _next_step(
    situation: Situation, resource: DeclaredResource, lookup: Lookup, is_ours: bool | None, delete: str
) -> str:
    """Advise a purge only if no stack exists, because it would delete a running environment."""
    if resource.type == "AWS::IAM::OIDCProvider":
        return "set github_oidc_provider_arn in [bootstrap] of stacks/environments.toml to its ARN"
    unused = "no Region of this account uses it" if lookup.is_account_wide else "nothing uses it"
    delete_unused = f"delete it if {unused}: {delete}"
    if not resource.is_of_environment:
        other_region = f"if another Region has it, see {_REGIONS}; otherwise " if lookup.is_account_wide else ""
        return f"{other_region}import it into the stack, or {delete_unused}"
    if resource.deployed_id:
        # The stack replaces what it holds; there is no place to import anything into.
        deployed = f"{situation.stack_name} has {resource.path} as {resource.deployed_id}"
        return f"{deployed}, which would be replaced: keep that name, or {delete_unused}"
    can_import = is_importable(resource) and "import" not in situation.target.gaps
    take_in = f"take it in ({suggest_command('deploy', 'import', situation.environment)}), or " if can_import else ""
    if situation.is_deployed:
        return delete_unused if is_ours is False else f"{take_in}{delete_unused}"
    if lookup.is_account_wide:
        return f"choose another environment name for this Region, or {delete_unused}"
    if is_ours and not resource.is_retained:
        return f"delete it: {delete}"
    if is_ours is not False and resource.is_retained:
        return _advise_on_retained(situation, take_in, is_ours=bool(is_ours))
    return f"{take_in}choose another environment name, or {delete_unused}"


def _advise_on_retained(situation: Situation, take_in: str, *, is_ours: bool) -> str:
    """Return the next step for what an earlier stack has retained, or may have."""
    purge = suggest_command("destroy", situation.environment, "--purge")
    if is_ours:
        guide = "" if take_in else f"; to keep its data, see {GUIDE}"
        return f"{take_in}delete it with its data ({purge}){guide}"
    return f"{take_in}if an earlier stack left it: {purge}; otherwise choose another environment name"


def _read_tags(situation: Situation, name: str, lookup: Lookup) -> Mapping[str, str] | None:
    """Return None if the tags cannot be read, so that the owner is unknown."""
    if lookup.read_tags is None:
        return None
    try:
        return lookup.read_tags(situation, name)
    except ClientError:
        return None
