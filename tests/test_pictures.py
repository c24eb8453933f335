"""The committed pictures are complete, and a change of the templates makes them stale."""

import copy
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
from payments.payment import TRANSITIONS, Status

from scripts import pictures
from scripts.pictures import access, nesting, statuses, workflow
from stacks import render
from stacks.workflow import state_machine
from tests.emitted import NESTED, ROOT
from tests.stacks.access import World

README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
MATRIX = (ROOT / "docs" / "access.svg").read_text()
DOCUMENTS = render.build_documents()
NAMESPACE = "{http://www.w3.org/2000/svg}"


def find_titles(stack: str, kind: str) -> list[str]:
    return [title for title, resource in DOCUMENTS[stack]["Resources"].items() if resource["Type"] == kind]


def read_diagram(text: str, number: int = 0) -> str:
    return re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)[number]


def test_every_stack_and_function_is_in_the_first_picture() -> None:
    first = read_diagram(README)
    for stack in NESTED:
        assert f'subgraph {stack.title()}["' in first
    for function in find_titles("compute", "AWS::Lambda::Function"):
        assert re.search(rf"\b{function}\[", first), function
    for store in ("transactions", "payment ledger", "dead letters", "notifications"):
        assert store in first


def test_the_readme_opens_with_a_sentence_the_picture_and_the_commands() -> None:
    title, sentence, picture, commands, *_ = README.split("\n\n")
    assert (title, picture[:10], commands[:5]) == ("# Payment platform", "```mermaid", "```sh")
    assert sentence.count(". ") == 0


def test_every_stack_is_among_the_stacks_with_each_parameter_it_is_given() -> None:
    stacks = read_diagram(ARCHITECTURE)
    for stack in NESTED:
        assert f'{stack.title()}["' in stacks
    parameters = {
        f"`{parameter}`"
        for stack in DOCUMENTS["parent"]["Resources"].values()
        for parameter, value in stack["Properties"]["Parameters"].items()
        if "Fn::GetAtt" in value
    }
    assert len(parameters) > 10
    assert parameters <= set(re.findall(r"`\w+`", ARCHITECTURE))


def test_an_arrow_says_what_the_outputs_are_of() -> None:
    assert nesting.list_flows(DOCUMENTS)["Compute", "Workflow"] == {
        "ValidationLiveArn": "ValidationLiveArn",
        "ProcessingLiveArn": "ProcessingLiveArn",
        "ReconciliationLiveArn": "ReconciliationLiveArn",
    }
    assert 'Data -->|"2 tables, queue, topic"| Compute' in read_diagram(ARCHITECTURE)


def test_every_state_and_every_transition_between_states_is_drawn() -> None:
    mermaid = read_diagram(ARCHITECTURE, 1)
    for name, state in state_machine.define_states()["States"].items():
        assert re.search(rf"^ *{name}\W+[^-]", mermaid, re.MULTILINE), name
        onward = [state.get("Next"), state.get("Default"), *(choice["Next"] for choice in state.get("Choices", []))]
        onward += [catcher["Next"] for catcher in state.get("Catch", [])]
        for to in filter(None, onward):
            assert re.search(rf"^ *{name} -\S*(\|.*\|)? {to}$", mermaid, re.MULTILINE), (name, to)


def test_a_state_that_is_added_makes_the_pictures_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pictures.render_pictures(DOCUMENTS, README)["docs/architecture.md"] == ARCHITECTURE
    definition = state_machine.define_states()
    definition["States"]["Another"] = {"Type": "Succeed"}
    monkeypatch.setattr(state_machine, "define_states", lambda: definition)
    assert (
        'Another(["<b>Another</b><br/>Another"])' in pictures.render_pictures(DOCUMENTS, README)["docs/architecture.md"]
    )


def test_every_status_and_every_transition_is_drawn() -> None:
    mermaid = read_diagram((ROOT / "docs" / "payment-status.md").read_text())
    for before, targets in TRANSITIONS.items():
        for after in targets - {before}:
            assert f" {before or '[*]'} --> {after}\n" in mermaid
    for status in Status:
        assert status in mermaid


def test_a_transition_that_is_added_is_drawn() -> None:
    extended = statuses.draw_diagram({**TRANSITIONS, Status.REJECTED: frozenset({Status.PENDING})})
    assert "REJECTED --> PENDING" in extended
    assert "REJECTED --> PENDING" not in statuses.draw_diagram(TRANSITIONS)


def texts_of_matrix() -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(MATRIX).iter(f"{NAMESPACE}text")]  # noqa: S314


def test_every_role_and_what_it_is_granted_is_in_the_matrix() -> None:
    words = texts_of_matrix()
    roles = find_titles("security", "AWS::IAM::Role")
    assert {role.removesuffix("Role") for role in roles} <= set(words)
    assert {grant.grantee for grant in access.list_role_grants(DOCUMENTS)} == set(roles)
    for key in find_titles("security", "AWS::KMS::Key"):
        assert access.words(key) in words


def test_the_matrix_has_every_statement_of_every_policy() -> None:
    """The test counts them without the code of the picture, so that no grant is lost."""
    policies = [
        json.dumps(resource)
        for resource in DOCUMENTS["security"]["Resources"].values()
        if resource["Type"] == "AWS::IAM::ManagedPolicy"
    ]
    lists = re.findall(r'"Action": (\[.*?\])', "".join(policies))
    assert {action for actions in lists for action in json.loads(actions)} == {
        grant.action for grant in access.list_role_grants(DOCUMENTS)
    }


def test_actions_that_a_role_is_not_granted_are_not_shown() -> None:
    by_role = {
        (grant.grantee, grant.target.name, grant.action.partition(":")[2])
        for grant in access.list_role_grants(DOCUMENTS)
        if grant.target.stack == "Data"
    }
    assert ("ProcessingRole", "Transactions", "GetItem") in by_role
    assert ("ValidationRole", "Transactions", "GetItem") not in by_role
    assert ("ProcessingRole", "Notifications", "Publish") not in by_role


def test_services_are_shown_by_the_policies_of_resources() -> None:
    grants = {(grant.grantee, grant.target.name, grant.action) for grant in access.list_service_grants(DOCUMENTS)}
    assert ("events", "DeadLetters", "sqs:SendMessage") in grants
    assert ("cloudwatch", "Notifications", "sns:Publish") in grants
    assert ("cloudwatch", "SnsKey", "kms:Decrypt") in grants


def test_a_changed_action_makes_the_matrix_stale() -> None:
    assert access.draw_svg(DOCUMENTS) == MATRIX
    changed = copy.deepcopy(DOCUMENTS)
    policy = changed["security"]["Resources"]["ValidationPolicy"]["Properties"]["PolicyDocument"]
    policy["Statement"][0]["Action"].append("dynamodb:DeleteItem")
    assert ">DeleteItem<" in access.draw_svg(changed)


def test_words_that_are_no_markup_are_escaped() -> None:
    assert ">a &lt; b &amp; &quot;c&quot;<" in access.draw.text(0, 0, 'a < b & "c"')


def test_the_table_of_tasks_shows_the_retries_of_each_task() -> None:
    table = "\n".join(workflow.draw_section())
    assert (
        "| ValidatePayment | validation function | 8 times after 1 s, each 2 times the last: Lambda throttles;" in table
    )
    assert "LedgerUnavailable, PaymentChanged, Lambda is disturbed;" in table
    assert "Lambda." not in table, "an error of AWS that no case covers"


def draw_in_process(seed: int, source: dict[str, Any]) -> dict[str, str]:
    """Draw all pictures in a process whose sets have another order."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.draw_pictures"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": str(seed)},
        input=json.dumps(source),
        capture_output=True,
        text=True,
        check=True,
    )
    drawings: dict[str, str] = json.loads(process.stdout)
    return drawings


def test_every_process_draws_the_same(world: World) -> None:
    """Return documents with more equal parts: each function has the permissions of all functions."""
    documents = copy.deepcopy(DOCUMENTS)
    security = documents["security"]["Resources"]
    policies = [
        security[f"{function.removesuffix('Function')}Policy"]["Properties"]["PolicyDocument"]
        for function in find_titles("compute", "AWS::Lambda::Function")
    ]
    statements = [statement for policy in policies for statement in policy["Statement"]]
    for policy in policies:
        policy["Statement"] = statements
    body = json.loads(world.properties("Monitoring/Dashboard")["DashboardBody"])
    source = {"documents": documents, "readme": README, "body": body}
    first, *repeated = (draw_in_process(seed, source) for seed in range(1, 5))
    assert set(first) == {*pictures.render_pictures(DOCUMENTS, README), "docs/dashboard.svg"}
    for drawings in repeated:
        assert drawings == first


@pytest.mark.parametrize("action", ["s3:GetObject", "sqs:SendMessage", "dynamodb:PutItem", "events:PutEvents"])
@pytest.mark.parametrize(
    "resource",
    [
        "*",
        "arn:aws:s3:::receipts",
        {"Fn::Sub": "arn:${AWS::Partition}:s3:::receipts-${Environment}/*"},
        {"Ref": "Nothing"},
    ],
)
def test_a_right_on_what_the_pictures_do_not_know_is_drawn(action: str, resource: Any) -> None:
    documents = copy.deepcopy(DOCUMENTS)
    policy = documents["security"]["Resources"]["ProcessingPolicy"]["Properties"]["PolicyDocument"]
    policy["Statement"].append({"Effect": "Allow", "Action": [action], "Resource": [resource]})
    drawings = pictures.render_pictures(documents, README)
    assert f">{action.partition(':')[2]}<" in drawings["docs/access.svg"]
    assert read_diagram(drawings["README.md"]).count("ProcessingFunction -->") <= read_diagram(README).count(
        "ProcessingFunction -->"
    )
