"""The committed pictures show all there is, and a change of what they are drawn from makes them stale."""

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
DOCUMENTS = render.documents()
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
    assert nesting.flows(DOCUMENTS)["Compute", "Workflow"] == {
        "ValidationLiveArn": "ValidationLiveArn",
        "ProcessingLiveArn": "ProcessingLiveArn",
    }
    assert 'Data -->|"2 tables, queue, topic"| Compute' in read_diagram(ARCHITECTURE)


def test_every_state_and_every_way_between_them_is_drawn() -> None:
    picture = read_diagram(ARCHITECTURE, 1)
    for name, state in state_machine.definition()["States"].items():
        assert re.search(rf"^ *{name}\W+[^-]", picture, re.MULTILINE), name
        onward = [state.get("Next"), state.get("Default"), *(choice["Next"] for choice in state.get("Choices", []))]
        onward += [catcher["Next"] for catcher in state.get("Catch", [])]
        for to in filter(None, onward):
            assert re.search(rf"^ *{name} -\S*(\|.*\|)? {to}$", picture, re.MULTILINE), (name, to)


def test_a_state_that_is_added_makes_the_pictures_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pictures.render(DOCUMENTS, README)["docs/architecture.md"] == ARCHITECTURE
    definition = state_machine.definition()
    definition["States"]["Another"] = {"Type": "Succeed"}
    monkeypatch.setattr(state_machine, "definition", lambda: definition)
    assert 'Another(["Another"])' in pictures.render(DOCUMENTS, README)["docs/architecture.md"]


def test_every_status_and_every_transition_is_drawn() -> None:
    picture = read_diagram((ROOT / "docs" / "payment-status.md").read_text())
    for before, targets in TRANSITIONS.items():
        for after in targets - {before}:
            assert f" {before or '[*]'} --> {after}\n" in picture
    for status in Status:
        assert status in picture


def test_a_transition_that_is_added_is_drawn() -> None:
    changed = statuses.diagram({**TRANSITIONS, Status.REJECTED: frozenset({Status.PENDING})})
    assert "REJECTED --> PENDING" in changed
    assert "REJECTED --> PENDING" not in statuses.diagram(TRANSITIONS)


def read_matrix_words() -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(MATRIX).iter(f"{NAMESPACE}text")]  # noqa: S314


def test_every_role_and_what_it_is_granted_is_in_the_matrix() -> None:
    words = read_matrix_words()
    roles = find_titles("security", "AWS::IAM::Role")
    assert {role.removesuffix("Role") for role in roles} <= set(words)
    assert {grant.who for grant in access.grants(DOCUMENTS)} == set(roles)
    for key in find_titles("security", "AWS::KMS::Key"):
        assert access.words(key) in words


def test_the_matrix_has_every_statement_of_every_policy() -> None:
    """Counted apart from how the picture finds them: none is lost on the way from a role to a resource."""
    policies = [
        json.dumps(resource)
        for resource in DOCUMENTS["security"]["Resources"].values()
        if resource["Type"] == "AWS::IAM::ManagedPolicy"
    ]
    lists = re.findall(r'"Action": (\[.*?\])', "".join(policies))
    assert {action for actions in lists for action in json.loads(actions)} == {
        grant.action for grant in access.grants(DOCUMENTS)
    }


def test_what_a_role_is_not_granted_is_not_shown() -> None:
    by_role = {
        (grant.who, grant.thing.name, grant.action.partition(":")[2])
        for grant in access.grants(DOCUMENTS)
        if grant.thing.stack == "Data"
    }
    assert ("ProcessingRole", "Transactions", "GetItem") in by_role
    assert ("ValidationRole", "Transactions", "GetItem") not in by_role
    assert ("ProcessingRole", "Notifications", "Publish") not in by_role


def test_services_are_shown_by_the_policies_of_resources() -> None:
    grants = {(grant.who, grant.thing.name, grant.action) for grant in access.services(DOCUMENTS)}
    assert ("events", "ReconciliationFunction", "lambda:InvokeFunction") in grants
    assert ("cloudwatch", "Notifications", "sns:Publish") in grants
    assert ("cloudwatch", "SnsKey", "kms:Decrypt") in grants


def test_another_action_makes_the_matrix_stale() -> None:
    assert access.svg(DOCUMENTS) == MATRIX
    changed = copy.deepcopy(DOCUMENTS)
    policy = changed["security"]["Resources"]["ValidationPolicy"]["Properties"]["PolicyDocument"]
    policy["Statement"][0]["Action"].append("dynamodb:DeleteItem")
    assert ">DeleteItem<" in access.svg(changed)


def test_words_that_are_no_markup_are_escaped() -> None:
    assert ">a &lt; b &amp; &quot;c&quot;<" in access.draw.text(0, 0, 'a < b & "c"')


def test_the_table_of_tasks_tells_how_each_is_tried_again() -> None:
    table = "\n".join(workflow.section())
    assert (
        "| ValidatePayment | validation function | 8 times after 1 s, each 2 times the last: Lambda throttles;" in table
    )
    assert "LedgerUnavailable, PaymentChanged, Lambda is disturbed;" in table
    assert "Lambda." not in table, "an error of AWS that no case covers"


def draw_with_hash_seed(seed: int, source: dict[str, Any]) -> dict[str, str]:
    """All pictures, by a process whose sets have another order."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.drawn"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": str(seed)},
        input=json.dumps(source),
        capture_output=True,
        text=True,
        check=True,
    )
    pictures_by_path: dict[str, str] = json.loads(process.stdout)
    return pictures_by_path


def test_every_process_draws_the_same(world: World) -> None:
    """Of documents in which more is alike: each function may do what any of them may."""
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
    first, *repetitions = (draw_with_hash_seed(seed, source) for seed in range(1, 5))
    assert set(first) == {*pictures.render(DOCUMENTS, README), "docs/dashboard.svg"}
    for repetition in repetitions:
        assert repetition == first
