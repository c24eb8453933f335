"""The steps in order: validate -> package -> upload -> change set -> show -> confirm -> execute -> outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from . import change_set, follow, show
from .danger import dangers
from .errors import Aborted, DeployError
from .package import package
from .stack import check_ready, delete_failed_creation, describe, is_deployed, is_failed_creation
from .target import Target
from .upload import upload
from .validate import validate

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
ARTIFACTS_STACK = "payment-artifacts"

# Asked before anything is changed: the question, and the names of what would be lost with its data.
Confirm = Callable[[str, Sequence[str]], bool]


@dataclass(frozen=True)
class Deployed:
    """A stack's outputs, and whether anything had to be changed for them, or would have to be."""

    outputs: dict[str, str]
    changed: bool


def stack_name(environment: str) -> str:
    return f"payment-platform-{environment}"


def deploy(
    environment: str,
    parameters: dict[str, str],
    target: Target,
    console: Console,
    confirm: Confirm,
    templates: Path = TEMPLATES,
    *,
    only_plan: bool = False,
) -> Deployed:
    """Deploy the platform, or only show what that would change; then no stack is changed, and nothing left but files.

    Raises ``DeployError`` for anything that a user can do something about, ``Aborted`` when ``confirm`` says no.
    """
    console.print("[bold]Validating[/] the templates")
    validate(templates)
    account = target.client("sts").get_caller_identity()["Account"]
    destination = target.destination(_artifact_bucket(target, templates, console, confirm, only_plan))
    packaged = package(templates / "parent.yaml", destination, target.runtime)
    layers = parameters.get("Gateway") == "stripe"
    uploaded = upload(packaged, target.client("s3"), account, layers=layers)
    console.print(f"[bold]Packaged[/] {len(packaged.files)} files, {uploaded} of them uploaded", highlight=False)
    source = {"TemplateURL": packaged.template_url}
    name = stack_name(environment)
    return _roll_out(target, name, packaged.template, source, parameters, console, confirm, only_plan)


def _artifact_bucket(target: Target, templates: Path, console: Console, confirm: Confirm, only_plan: bool) -> str:
    """The bucket's name; its stack is created on first use, and changed when its template has.

    A plan needs the bucket too, because CloudFormation reads nested templates from it.
    """
    stack = describe(target.client("cloudformation"), ARTIFACTS_STACK)
    if only_plan and stack.exists:
        return _bucket_name(stack.outputs)
    if only_plan:
        raise DeployError(f"{ARTIFACTS_STACK} is not deployed, and a plan needs its bucket; deploy once without --plan")
    body = (templates / "artifacts.yaml").read_text(encoding="utf-8")
    return _bucket_name(_roll_out(target, ARTIFACTS_STACK, body, {"TemplateBody": body}, {}, console, confirm).outputs)


def _bucket_name(outputs: dict[str, str]) -> str:
    try:
        return outputs["BucketName"]
    except KeyError:
        raise DeployError(f"{ARTIFACTS_STACK} has no output BucketName; look at it first") from None


def _roll_out(
    target: Target,
    name: str,
    template: str,
    source: dict[str, str],
    parameters: dict[str, str],
    console: Console,
    confirm: Confirm,
    only_plan: bool = False,
) -> Deployed:
    """Change set -> show -> confirm -> execute, for one stack and what is nested in it."""
    cloudformation = target.client("cloudformation")
    stack = describe(cloudformation, name)
    if is_failed_creation(stack) and not only_plan:
        console.print(f"{name} is left of a creation that failed; deleting it first", highlight=False)
        stack = delete_failed_creation(cloudformation, stack)
    check_ready(stack)
    if is_deployed(cloudformation, stack, template, parameters):
        return Deployed(stack.outputs, changed=False)
    with change_set.proposed(cloudformation, stack, parameters, **source) as proposal:
        if proposal is None:
            return Deployed(stack.outputs, changed=False)
        show.change_set(console, proposal.changes)
        if only_plan:
            return Deployed(stack.outputs, changed=True)
        lost = [danger.logical_id for danger in dangers(proposal.changes)]
        if not confirm(f"Deploy {name}?", lost):
            raise Aborted(f"{name}: not deployed; the change set is deleted")
        follow.execute(cloudformation, proposal, console, target.poll_seconds)
    return Deployed(describe(cloudformation, name).outputs, changed=True)
