"""Reads the dated data files beside this module."""

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple


class Source(NamedTuple):
    """The page that a number is from, and when it was read. One that is not confirmed was not found there."""

    url: str
    read_on: date
    is_confirmed: bool


@cache
def load_file(name: str) -> Mapping[str, Any]:
    """Return the tables of ``name``, a file of this package."""
    return tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def read_source(row: Mapping[str, Any], region: str) -> Source:
    is_confirmed = row.get("confirmed", False) or region in row.get("confirmed_in", ())
    return Source(row["source"], row["read_on"], is_confirmed)


def list_unconfirmed(tables: Mapping[str, Any], region: str) -> list[str]:
    """Return the names of the rows, also nested ones, whose number was not found on its page for the Region."""
    names = []
    for name, row in tables.items():
        if "source" not in row:
            names += [f"{name}.{inner}" for inner in list_unconfirmed(row, region)]
        elif not read_source(row, region).is_confirmed:
            names.append(name)
    return names
