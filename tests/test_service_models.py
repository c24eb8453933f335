"""A fake of an AWS service cannot take a call or give an answer that the service's model does not have."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.asl import StatesError
from tests.operator import fake_queue
from tests.prove import services
from tests.service_models import NotInTheModel, follow_model

URL = "https://queue"


def make_error(code: str, **details: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": code}, **details}
    return ClientError(response, "operation")


def call_fake(method: str, answer: Any, **arguments: Any) -> None:
    """Call a method of a fake of DynamoDB, which returns the answer or raises it."""

    def give_answer(_fake: Any, **_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    getattr(follow_model("dynamodb")(type("Fake", (), {method: give_answer}))(), method)(**arguments)


READ = {"TableName": "payments", "Key": {"transaction_id": {"S": "TXN-1"}}}
WRITE = {"TransactItems": [{"Put": {"TableName": "payments", "Item": {"transaction_id": {"S": "TXN-1"}}}}]}


def test_what_the_model_has_is_taken_and_given() -> None:
    call_fake("get_item", {"Item": {"status": {"S": "PENDING"}}}, **READ)
    call_fake("get_item", {}, **READ)
    for error in (
        make_error("ThrottlingException"),
        make_error("TransactionCanceledException", CancellationReasons=[{"Code": "None", "Item": {"a": {"S": "b"}}}]),
    ):
        with pytest.raises(ClientError):
            call_fake("transact_write_items", error, **WRITE)


@pytest.mark.parametrize(
    ("arguments", "report"),
    [
        (READ | {"Table": "payments"}, 'Unknown parameter in input: "Table"'),
        ({"TableName": "payments"}, 'Missing required parameter in input: "Key"'),
        (READ | {"ConsistentRead": "yes"}, "Invalid type for parameter ConsistentRead"),
        (READ | {"Key": {"transaction_id": {"S": 1}}}, "Invalid type for parameter Key.transaction_id.S"),
        (READ | {"Key": {"transaction_id": "TXN-1"}}, "Invalid type for parameter Key.transaction_id"),
        (READ | {"TableName": ""}, "Invalid length for parameter TableName"),
    ],
    ids=["unknown", "missing", "boolean", "text", "value", "empty"],
)
def test_another_call_is_refused(arguments: dict[str, Any], report: str) -> None:
    with pytest.raises(NotInTheModel, match=report):
        call_fake("get_item", {}, **arguments)


@pytest.mark.parametrize(
    ("answer", "report"),
    [
        ({"Items": []}, 'Unknown parameter in input: "Items"'),
        ({"Item": {"amount": {"N": 150}}}, "Invalid type for parameter Item.amount.N"),
        (None, "GetItem has an answer"),
        (make_error("Throttled"), "GetItem has no error Throttled"),
        (make_error("ResourceNotFoundException", Item={}), 'Unknown parameter in input: "Item"'),
    ],
    ids=["unknown", "type", "none", "error", "details"],
)
def test_another_answer_is_refused(answer: Any, report: str) -> None:
    with pytest.raises(NotInTheModel, match=report):
        call_fake("get_item", answer, **READ)


def test_a_form_that_was_refused_once_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(NotInTheModel):
            call_fake("get_item", {}, **READ, Table="payments")


@pytest.mark.parametrize("error", ["SNS.ThrottledException", "SQS.RequestThrottledException", "SNS.Throttled"])
def test_a_workflow_gets_no_error_of_another_name(error: str) -> None:
    def publish(_fake: Any, _arguments: Any) -> Any:
        raise StatesError(error)

    topic = follow_model("sns", {"publish_from_workflow": "publish"})(type("F", (), {"publish_from_workflow": publish}))
    with pytest.raises(NotInTheModel, match=f"Publish has no error {error}"):
        topic().publish_from_workflow({"Message": "paid"})


@pytest.mark.parametrize(
    ("fake", "method"),
    [
        (services.FakeDynamoDB, "get_item"),
        (services.FakeDynamoDB, "query"),
        (services.FakeDynamoDB, "batch_get_item"),
        (services.FakeDynamoDB, "transact_write_items"),
        (services.FakeSecrets, "get_secret_value"),
        (services.FakeTopic, "publish"),
        (services.FakeQueue, "send_message"),
        (fake_queue.FakeQueue, "receive_message"),
        (fake_queue.FakeQueue, "change_message_visibility"),
        (fake_queue.FakeQueue, "change_message_visibility_batch"),
        (fake_queue.FakeQueue, "delete_message"),
        (fake_queue.FakeQueue, "get_queue_attributes"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_operation_of_our_fakes_is_held_to_the_model(fake: type[Any], method: str) -> None:
    """No operation has a parameter of this name."""
    with pytest.raises(NotInTheModel, match="Unmodelled"):
        getattr(fake.__new__(fake), method)(Unmodelled=1)


@pytest.mark.parametrize("method", ["publish_from_workflow", "send_from_workflow"])
def test_every_task_of_our_fakes_is_held_to_the_model(method: str) -> None:
    fake = services.FakeTopic if method.startswith("publish") else services.FakeQueue
    with pytest.raises(NotInTheModel, match="Unmodelled"):
        getattr(fake.__new__(fake), method)({"Unmodelled": 1})
