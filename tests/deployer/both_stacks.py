"""Earlier releases of the artifacts stack, whose permissions boundaries the current one changes.

In the earlier release the ledger has another name, so that each boundary both gains and loses a right.
"""

import json
from collections.abc import Callable

from tests.deployer.aws.cloudformation import CloudFormation as Service
from tests.deployer.aws.stacks import Stack
from tests.deployer.conftest import add_platform
from tests.deployer.releases import edit_harmlessly
from tests.emitted import ROOT

ARTIFACTS, PLATFORM = "payment-artifacts", "payment-platform-dev"
BODY = (ROOT / "templates" / "artifacts.yaml").read_text(encoding="utf-8")
EARLIER = BODY.replace("dynamodb-payment-ledger-", "dynamodb-ledger-")
NOTICE = f"{ARTIFACTS} keeps the permissions of both releases"


def find_artifacts(aws: Service) -> Stack:
    (stack,) = [stack for stack in aws.stacks.values() if stack.name == ARTIFACTS]
    return stack


def list_ledgers(stack: Stack, environment: str = "dev") -> list[str]:
    """Return the names of the ledger that the boundary of an environment allows."""
    text = json.dumps(stack.template["Resources"][f"Boundary{environment.title()}"]["Properties"]["PolicyDocument"])
    return [name for name in ("dynamodb-ledger", "dynamodb-payment-ledger") if f"table/{name}-{environment}" in text]


def add_earlier_release(aws: Service, text: str = EARLIER, edit: Callable[[str, str], str] | None = None) -> Stack:
    add_platform(aws, edit or edit_harmlessly)
    artifacts = find_artifacts(aws)
    artifacts.text = text
    return artifacts


def add_earlier_release_of_two_environments(aws: Service) -> Stack:
    """Deploy dev and prod from the earlier release, and return the artifacts stack."""
    add_platform(aws, edit_harmlessly, environment="prod")
    former = find_artifacts(aws)
    del aws.stacks[former.id]
    artifacts = add_earlier_release(aws)
    for name in list(aws.alarms):
        aws.alarms[name.replace("-dev", "-prod")] = "OK"
    return artifacts
