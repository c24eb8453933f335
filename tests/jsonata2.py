"""The text functions of JSONata 2, which Step Functions evaluates, for the Python library.

jsonata-python escapes non-ASCII characters, prints numbers differently and matches regular expressions as Python does,
so texts and their lengths differ. This module replaces ``$string``, ``&``, ``$length``, ``$substring``, ``$contains``
and the meaning of regular expressions. ``jsonata2.json`` holds the answers of JSONata 2 itself.

https://docs.jsonata.org/string-functions
https://tc39.es/ecma262/#sec-json.stringify
"""

import json
import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from jsonata.functions import Functions
from jsonata.jexception import JException
from jsonata.jsonata import Jsonata
from jsonata.parser import Parser
from jsonata.regex_engine import RegexFlags
from jsonata.utils import Utils

_PRECISION = Context(prec=15, rounding=ROUND_HALF_UP)
_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
# Property names that JavaScript treats as array indices: an object lists these first, in numerical order.
_INDEX = re.compile("0|[1-9][0-9]{0,9}")
# The characters that ``.`` matches in JavaScript.
_ANY_CHARACTER = "[^\\n\\r\\u2028\\u2029]"


class Expression(Jsonata):
    """A compiled expression. ``evaluate`` returns its result and raises ``JException`` for an error of JSONata."""

    def __init__(self, text: str) -> None:
        super().__init__(text, compile_pattern)
        for name, signature in (
            ("string", "<x-b?:s>"),
            ("length", "<s-:n>"),
            ("substring", "<s-nn?:s>"),
            ("contains", "<s-(sf):b>"),
        ):
            self.register_function(name, Jsonata.function(name, signature, TextFunctions, name))

    def evaluate_string_concat(self, lhs: Any, rhs: Any) -> str:
        return _joined((stringify(lhs) or "") + (stringify(rhs) or ""))


class TextFunctions:
    """The functions, which the library calls by name. None stands for undefined."""

    @staticmethod
    def string(value: Any, prettify: bool | None) -> str | None:
        return stringify(value, bool(prettify))

    @staticmethod
    def length(text: str | None) -> int | None:
        _refuse_null(text)
        return None if text is None else len(text)

    @staticmethod
    def substring(text: str | None, start: float | None, length: float | None) -> str | None:
        _refuse_null(text, start, length)
        if text is None:
            return None
        if start is None:
            return text if length is None else ""
        if len(text) + start < 0:
            start = 0
        if length is None:
            return text[math.trunc(start) :]
        if length <= 0:
            return ""
        end = start + length if start >= 0 else len(text) + start + length
        return text[math.trunc(start) : math.trunc(end)]

    @staticmethod
    def contains(text: str | None, token: Any) -> bool | None:
        _refuse_null(text)
        if text is None or token is None:
            return None
        if isinstance(token, str):
            return _code_units(token) in _code_units(text)
        return token.search(_code_units(text)) is not None


def with_nulls(value: Any) -> Any:
    """Replace None by the library's value for null, which it distinguishes from undefined."""
    if value is None:
        return Utils.NULL_VALUE
    if isinstance(value, dict):
        return {key: with_nulls(item) for key, item in value.items()}
    return [with_nulls(item) for item in value] if isinstance(value, list) else value


def stringify(value: Any, prettify: bool = False) -> str | None:
    """Return what ``$string`` prints, or None for undefined. Raises ``JException`` for a number that is not finite."""
    if isinstance(value, Utils.JList) and value.outer_wrapper:
        value = value[0]
    if value is None or isinstance(value, str):
        return value
    if _is_function(value):
        return ""
    return _json(value, "\n" if prettify else "")


def compile_pattern(pattern: str, flags: RegexFlags) -> re.Pattern[str]:
    """Compile a regular expression with JavaScript's meaning: UTF-16 code units, ``\\d`` and ``\\w`` of ASCII only.

    Without the flag m, ``$`` matches the end of the text, and not the place before its last line feed.
    """
    translated, in_class = "", False
    for part in re.findall(r"\\.|.", _code_units(pattern), re.DOTALL):
        if part in ("[", "]"):
            in_class = part == "["
        if not in_class and part == "$" and not flags.multiline:
            translated += r"\Z"
        elif not in_class and part == ".":
            translated += _ANY_CHARACTER
        else:
            translated += part
    options = re.ASCII | (re.IGNORECASE if flags.case_insensitive else 0) | (re.MULTILINE if flags.multiline else 0)
    return re.compile(translated, options)


def _json(value: Any, indent: str) -> str:
    """Return what JSON.stringify does; ``indent`` precedes each member, and is empty for no white space."""
    if value is Utils.NULL_VALUE or value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, str):
        return _quoted(value)
    deeper = indent + "  " if indent else ""
    if isinstance(value, list):
        return _bracketed("[", [_json(item, deeper) for item in value], "]", indent, deeper)
    if isinstance(value, dict):
        colon = ": " if indent else ":"
        members = [_quoted(key) + colon + _json(value[key], deeper) for key in sorted(value, key=_property_order)]
        return _bracketed("{", members, "}", indent, deeper)
    assert _is_function(value), type(value)
    return '""'


def _bracketed(opening: str, members: list[str], closing: str, indent: str, deeper: str) -> str:
    if not members:
        return opening + closing
    return opening + deeper + f",{deeper}".join(members) + indent + closing


def _number(value: float) -> str:
    """Print a fraction with 15 significant digits, and an integer as JavaScript's nearest double."""
    try:
        double = float(value)
    except OverflowError:
        double = math.inf
    if not math.isfinite(double):
        raise JException("D1001", 0, value)
    if not double.is_integer():
        double = float(_PRECISION.create_decimal(Decimal(double)))
    return _javascript(double)


def _javascript(double: float) -> str:
    """Print the shortest digits that read back as the number: https://tc39.es/ecma262/#sec-numeric-types-number-tostring"""
    if double == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(double)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text, point = "".join(map(str, digits)), len(digits) + exponent
    minus = "-" if sign else ""
    if 0 < point <= 21:
        return minus + (text.ljust(point, "0") if exponent >= 0 else f"{text[:point]}.{text[point:]}")
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{text}"
    fraction = f".{text[1:]}" if text[1:] else ""
    return f"{minus}{text[0]}{fraction}e{point - 1:+d}"


def _quoted(text: str) -> str:
    """Quote a text, and escape a surrogate without its other half, so that the result is valid Unicode."""
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(_joined(text), ensure_ascii=False))


def _property_order(name: str) -> tuple[bool, int]:
    is_index = _INDEX.fullmatch(name) is not None and int(name) < 2**32 - 1
    return (not is_index, int(name) if is_index else 0)


def _code_units(text: str) -> str:
    """Replace each character beyond the BMP by two surrogates, as JavaScript counts it."""
    return _BEYOND_BMP.sub(_halves, text)


def _halves(match: re.Match[str]) -> str:
    high, low = divmod(ord(match[0]) - 0x10000, 0x400)
    return chr(0xD800 + high) + chr(0xDC00 + low)


def _joined(text: str) -> str:
    """Replace each pair of surrogates by its character."""
    return _SURROGATE_PAIR.sub(lambda match: match[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def _is_function(value: Any) -> bool:
    return Utils.is_function(value) or isinstance(value, Parser.Symbol) or Functions.is_regex(value)


def _refuse_null(*values: Any) -> None:
    if any(value is Utils.NULL_VALUE for value in values):
        raise JException("T0410", -1)
