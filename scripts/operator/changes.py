"""What a command has changed, or may have changed, for the message of whatever ends it early."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scripts.common.errors import describe_error, is_refusal, raise_both


@dataclass
class Changes:
    """Notes each request before it is sent, because an interrupt may arrive at any moment.

    ``latest`` is what the latest request has changed, or may have changed, and ``earlier`` what those before it have
    changed: parts of a sentence, empty for nothing. ``advice`` is the next step.
    """

    earlier: str = ""
    latest: str = ""
    advice: str = ""
    # Whether an execution was started, which goes on without the command.
    has_started: bool = False
    # Whether a request has no answer, so that AWS may go on with it.
    is_unanswered: bool = False

    @contextmanager
    def note_request(self, change: str, *, goes_on: bool = True) -> Iterator[None]:
        """Note what the request in the block may change, until AWS refuses it or the caller knows more.

        ``goes_on``: whether AWS goes on with it after its sender has ended.
        """
        before = self.latest, self.is_unanswered
        self.latest, self.is_unanswered = change, goes_on or self.is_unanswered
        try:
            yield
        except Exception as error:
            if is_refusal(error):
                self.latest, self.is_unanswered = before
            raise
        self.is_unanswered = before[1]

    def settle(self, earlier: str) -> None:
        """Note all that was changed, now that the latest request is answered."""
        self.earlier, self.latest = earlier, ""

    def settle_error(self, error: BaseException) -> str:
        """Return the message of an error after which the command goes on, with what the latest request has changed."""
        parts = [describe_error(error), *([self.latest, self.advice] if self.latest else [])]
        self.latest = ""
        return "; ".join(parts)

    def end_command(self, error: BaseException) -> None:
        """Raise the error with what was changed, or may have been. Returns if that is nothing."""
        changes = [part for part in (self.earlier, self.latest) if part]
        if changes:
            raise_both(error, "; ".join([*changes, self.advice]), goes_on=self.has_started or self.is_unanswered)
