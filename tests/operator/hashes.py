"""Pieces of the plain hashes of a request, which would reveal it to anybody who tries all amounts."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from payments.request import read_request

_ALGORITHMS = ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b")
_PIECE = 8


def find_pieces(request: str, calls: Iterable[dict[str, Any]]) -> list[str]:
    """Return the arguments of StartExecution, beside the input, that contain a piece of a hash of the request.

    Step Functions encrypts the input with the customer's key, and none of the others.
    """
    texts = (request, read_request(json.loads(request)).canonical)
    digests = [hashlib.new(algorithm, text.encode()).hexdigest() for text in texts for algorithm in _ALGORITHMS]
    pieces = {digest[first : first + _PIECE] for digest in digests for first in range(len(digest) - _PIECE + 1)}
    values = [str(value) for arguments in calls for name, value in arguments.items() if name != "input"]
    return [value for value in values if any(piece in value for piece in pieces)]
