"""The functions that Step Functions adds to JSONata, and ``$eval``, which it removes.

https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html#jsonata-functions-provided-by-step-functions
"""

import hashlib
import json
import random
import re
import uuid
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from jsonata.jexception import JException
from jsonata.jsonata import Jsonata

from tests.jsonata2 import Expression, with_nulls

ALGORITHMS = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
# Functions whose result differs from call to call.
_VARYING = re.compile(r"\$(uuid|random|shuffle|now|millis)\b")
_SIGNATURES = {
    "partition": "<an:a>",
    "range": "<nnn:a>",
    "hash": "<ss:s>",
    "random": "<n?:n>",
    "uuid": "<:s>",
    "parse": "<s:x>",
    "eval": "<x?x?:x>",
}


class FunctionFailure(Exception):
    """A function of Step Functions refused its arguments. JSONata defines no error code for that."""


class StepFunctionsExpression(Expression):
    """A compiled expression that can call the functions of Step Functions."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        for name, signature in _SIGNATURES.items():
            self.register_function(name, Jsonata.function(name, signature, AddedFunctions, f"call_{name}"))


class AddedFunctions:
    """The functions, which the library calls by name. None stands for undefined."""

    # The library keeps the functions of a compiled expression, so this is what a test may replace.
    new_uuid: Callable[[], object] = uuid.uuid4

    @staticmethod
    def call_partition(items: list[Any] | None, size: float | None) -> list[Any] | None:
        if items is None or size is None:
            return None
        length = _round_number(size)
        if length < 1:
            raise FunctionFailure("the size of a chunk must be positive")
        return [items[start : start + length] for start in range(0, len(items), length)]

    @staticmethod
    def call_range(first: float | None, last: float | None, step: float | None) -> list[int] | None:
        """Return the numbers from ``first`` up to and including ``last``."""
        if first is None or last is None or step is None:
            return None
        start, end, delta = _round_number(first), _round_number(last), _round_number(step)
        return list(range(start, end + (1 if delta > 0 else -1), delta))

    @staticmethod
    def call_hash(text: str | None, algorithm: str | None) -> str | None:
        if text is None or algorithm is None:
            return None
        if algorithm not in ALGORITHMS:
            raise FunctionFailure(f"the algorithm must be one of {', '.join(ALGORITHMS)}")
        return hashlib.new(ALGORITHMS[algorithm], text.encode(), usedforsecurity=False).hexdigest()

    @staticmethod
    def call_random(seed: float | None) -> float:
        return random.random() if seed is None else _draw_number(int(seed))  # noqa: S311

    @staticmethod
    def call_uuid() -> str:
        return str(AddedFunctions.new_uuid())

    @staticmethod
    def call_parse(text: str | None) -> Any:
        if text is None:
            return None
        try:
            return with_nulls(json.loads(text))
        except ValueError as error:
            raise FunctionFailure(f"the text is not JSON: {error}") from None

    @staticmethod
    def call_eval(_text: Any, _context: Any) -> Any:
        raise JException("T1006", -1, "eval")


def is_varying(text: str) -> bool:
    """Return whether an expression may have another result the next time, with the same variables."""
    return _VARYING.search(text) is not None


def _round_number(number: float) -> int:
    """Round to the nearest integer; a half is rounded away from zero."""
    return int(Decimal(str(number)).quantize(Decimal(1), ROUND_HALF_UP))


def _draw_number(seed: int) -> float:
    """Return the first ``nextDouble()`` of ``java.util.Random``, which AWS uses: the seed 42 gives 0.7275636800328681.

    https://docs.oracle.com/javase/8/docs/api/java/util/Random.html
    Measured on AWS in August 2026: https://github.com/floci-io/floci/issues/2662
    """
    state = (seed ^ 0x5DEECE66D) & (2**48 - 1)
    parts = []
    for bits in (26, 27):
        state = (state * 0x5DEECE66D + 0xB) & (2**48 - 1)
        parts.append(state >> (48 - bits))
    return float(((parts[0] << 27) + parts[1]) / (1 << 53))
