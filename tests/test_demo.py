"""The demonstration on a server that others use, too."""

from typing import Any

from scripts.demo.subscriber import collect


class Queue:
    """Gives each message once."""

    def __init__(self, *bodies: str) -> None:
        self.waiting = [{"Body": body, "ReceiptHandle": str(n)} for n, body in enumerate(bodies)]
        self.taken: list[str] = []

    def receive_message(self, MaxNumberOfMessages: int, **_asked: Any) -> dict[str, Any]:
        given, self.waiting = self.waiting[:MaxNumberOfMessages], self.waiting[MaxNumberOfMessages:]
        return {"Messages": given} if given else {}

    def delete_message(self, ReceiptHandle: str, **_asked: Any) -> None:
        self.taken.append(ReceiptHandle)


def test_what_others_left_in_the_queue_is_no_notice() -> None:
    queue = Queue("hello", '{"Message": "m"}', "[1]", "null", "", *["{"] * 10)
    assert collect(queue, "http://queue") == [{"Message": "m"}]
    assert len(queue.taken) == 15
