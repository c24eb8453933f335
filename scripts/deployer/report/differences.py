"""Splits the change of a long value into its differences, so that none is hidden behind the first one."""

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple

from scripts.common.conditions import join_literals, list_conditions
from scripts.deployer.plan.compare import as_text, find_differences
from scripts.deployer.plan.model import PropertyChange
from scripts.deployer.plan.whole_values import parse_value

LONGEST_VALUE = 120
# What is shown of the equal text around a difference; differences that are closer together are shown as one.
CONTEXT = 20
# Texts of more parts are compared line by line first: the time grows with the square of their number.
_MOST_PARTS = 1_500
_PARTS = re.compile(r"\w+|\s+|.", re.DOTALL)
# Stands for a member that one of two JSON documents does not have; null is a value.
_MISSING = object()


class _Span(NamedTuple):
    """Where two texts differ: from and to which character of each."""

    start: int
    end: int
    later_start: int
    later_end: int


def split_property(prop: PropertyChange) -> list[PropertyChange]:
    """Return the differences of a property's values: the members of JSON that differ, and each place of a long text.

    A member is named by its path, such as DefinitionString/States/Charge. A property with one value, or with the three
    of one that has drifted, stays as it is.
    """
    if prop.is_drifted or prop.before == prop.after:
        return [prop]
    if (branches := _list_branches(prop)) != [prop]:
        return [difference for branch in branches for difference in split_property(branch)]
    if prop.before is None or prop.after is None:
        return [prop]
    before, after = _read_document(prop.before), _read_document(prop.after)
    members = [] if before is _MISSING or type(before) is not type(after) else list(_list_members("", before, after))
    # Texts may differ although the documents do not, as by the order of their members.
    parts = [replace(prop, name=f"{prop.name}{path}", before=old, after=new) for path, old, new in members] or [prop]
    return [difference for part in parts for difference in _split_text(part)]


def _list_branches(prop: PropertyChange) -> list[PropertyChange]:
    """Return a change for each result of the conditions that the values hang on."""
    values = [parse_value(text) for text in (prop.before, prop.after)]
    if not any(map(list_conditions, values)):
        return [prop]
    return [
        replace(
            prop,
            name="/".join((prop.name, *difference.path)),
            before=None if difference.before is None else as_text(difference.before),
            after=None if difference.after is None else as_text(difference.after),
            condition=join_literals(prop.condition, difference.condition),
        )
        for difference in find_differences(*values)
    ]


def _read_document(text: str) -> Any:
    """Return a list or a mapping, or ``_MISSING`` if the text is another value, no JSON, or names a member twice."""

    def read_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            raise ValueError("a member is named twice")
        return members

    try:
        document = json.loads(text, object_pairs_hook=read_members)
    except (ValueError, RecursionError):
        return _MISSING
    return document if isinstance(document, dict | list) else _MISSING


def _list_members(path: str, before: Any, after: Any) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield the path and the values of each member that differs, also within a text that is a document itself."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _list_members(f"{path}/{key}", before.get(key, _MISSING), after.get(key, _MISSING))
    elif isinstance(before, list) and isinstance(after, list):
        for index, old, new in _pair_items(before, after):
            yield from _list_members(f"{path}/{index}", old, new)
    elif before is _MISSING or after is _MISSING or _write(before) != _write(after):
        inner = [_read_document(value) if isinstance(value, str) else _MISSING for value in (before, after)]
        parts = list(_list_members(path, *inner)) if _MISSING not in inner and type(inner[0]) is type(inner[1]) else []
        yield from parts or [_show_values(path, before, after)]


def _pair_items(before: list[Any], after: list[Any]) -> Iterator[tuple[int, Any, Any]]:
    """Yield the items that differ, each with its later index, or the earlier one of an item that goes."""
    matcher = difflib.SequenceMatcher(None, list(map(_write, before)), list(map(_write, after)), autojunk=False)
    for kind, start, end, later_start, later_end in matcher.get_opcodes():
        if kind != "equal":
            items = zip_longest(before[start:end], after[later_start:later_end], fillvalue=_MISSING)
            for offset, (old, new) in enumerate(items):
                yield (start if new is _MISSING else later_start) + offset, old, new


def _show_values(path: str, before: Any, after: Any) -> tuple[str, str | None, str | None]:
    """Return texts as they are, unless they would look like another value, such as "5" and 5."""
    old, new = (value if isinstance(value, str) else _write(value) for value in (before, after))
    return (path, _write(before), _write(after)) if old == new else (path, old, new)


def _write(value: Any) -> str | None:
    return None if value is _MISSING else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _split_text(prop: PropertyChange) -> list[PropertyChange]:
    """Return one change for each place where the texts differ, with the equal text next to it."""
    before, after = prop.before, prop.after
    if before is None or after is None or max(len(before), len(after)) <= LONGEST_VALUE:
        return [prop]
    return [
        replace(
            prop,
            before=_cut_excerpt(before, span.start, span.end),
            after=_cut_excerpt(after, span.later_start, span.later_end),
        )
        for span in _join_close_spans(_find_spans(before, after))
    ]


def _cut_excerpt(text: str, start: int, end: int) -> str:
    first, last = max(start - CONTEXT, 0), min(end + CONTEXT, len(text))
    return f"{'…' if first else ''}{text[first:last]}{'…' if last < len(text) else ''}"


def _find_spans(before: str, after: str) -> Iterator[_Span]:
    parts, later_parts = (_PARTS.findall(text) for text in (before, after))
    is_long = max(len(parts), len(later_parts)) > _MOST_PARTS
    if is_long:
        parts, later_parts = (text.splitlines(keepends=True) for text in (before, after))
    if is_long and len(parts) == len(later_parts) == 1:
        yield _trim_equal_ends(before, after)
        return
    starts, later_starts = (_list_starts(items) for items in (parts, later_parts))
    for kind, start, end, later_start, later_end in difflib.SequenceMatcher(None, parts, later_parts).get_opcodes():
        if kind == "equal":
            continue
        span = _Span(starts[start], starts[end], later_starts[later_start], later_starts[later_end])
        is_smaller = (span.end - span.start, span.later_end - span.later_start) != (len(before), len(after))
        if is_long and kind == "replace" and not is_smaller:
            yield _trim_equal_ends(before, after)
        elif is_long and kind == "replace":
            yield from _find_spans_within(span, before, after)
        else:
            yield span


def _find_spans_within(span: _Span, before: str, after: str) -> Iterator[_Span]:
    """Yield the parts that differ within lines that do."""
    for inner in _find_spans(before[span.start : span.end], after[span.later_start : span.later_end]):
        yield _Span(
            *(span.start + offset for offset in inner[:2]), *(span.later_start + offset for offset in inner[2:])
        )


def _trim_equal_ends(before: str, after: str) -> _Span:
    start = _count_equal(before, after)
    tail = _count_equal(before[start:][::-1], after[start:][::-1])
    return _Span(start, len(before) - tail, start, len(after) - tail)


def _count_equal(before: str, after: str) -> int:
    """Return how many characters the texts have in common at the beginning."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((index for index, (old, new) in pairs if old != new), min(len(before), len(after)))


def _list_starts(parts: list[str]) -> list[int]:
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + len(part))
    return starts


def _join_close_spans(spans: Iterator[_Span]) -> list[_Span]:
    """Return the spans, one for those that only a few equal characters separate."""
    listed = list(spans)
    groups = [listed[:1]]
    for earlier, later in pairwise(listed):
        if later.start - earlier.end <= CONTEXT:
            groups[-1].append(later)
        else:
            groups.append([later])
    return [
        _Span(group[0].start, group[-1].end, group[0].later_start, group[-1].later_end) for group in groups if group
    ]
