"""Compares single facts about answers of AWS with the double or the emulator that we rely on for them.

facts.yaml has for each fact: its name, what AWS does, the recorded test and its date, where it is checked, and the
values that are compared. A fact that nothing of ours uses says so instead, under ``unused``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.double_facts import ON_INTERPRETER, ON_PLAN
from tests.conformance.emulator_facts import ON_EMULATOR, run_emulator
from tests.conformance.executions import show_json
from tests.conformance.verdicts import Verdict

_FILE = Path(__file__).with_name("facts.yaml")
_FIELDS = ({"name", "aws", "test", "recorded", "checked", "values"}, {"name", "aws", "test", "recorded", "unused"})


@dataclass(frozen=True)
class Fact:
    name: str
    # Where it is checked: the interpreter, the plan, the emulator.
    places: tuple[str, ...]
    values: dict[str, Any]
    # The reason why it is not checked.
    unused: str

    def compare_with(self, place: str, observed: dict[str, Any]) -> Verdict:
        """Return the differences between the recorded values and those observed in a place."""
        differences = [
            f"{name} is {show_json(self.values.get(name))}; ours is {show_json(observed.get(name))}"
            for name in sorted({*self.values, *observed})
            if show_json(self.values.get(name)) != show_json(observed.get(name))
        ]
        return Verdict(f"{self.name}, on the {place}", tuple(differences))


def load_facts() -> Iterator[Fact]:
    """Yield the facts. Raises ``AssertionError`` if a fact lacks a field or has an unknown one."""
    for fields in yaml.load(_FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)["facts"]:
        name = str(fields["name"])
        assert set(fields) in _FIELDS, f"{name}: {sorted(fields)}"
        assert isinstance(fields["recorded"], date), f"{name}: when was it recorded?"
        assert "::" in fields["test"], f"{name}: where was it recorded?"
        yield Fact(name, tuple(fields.get("checked", ())), fields.get("values", {}), fields.get("unused", ""))


def judge_facts() -> Iterator[Verdict]:
    """Check each fact in its places, on an emulator of their own, and yield the results."""
    with run_emulator() as emulator:
        for fact in load_facts():
            for place in fact.places:
                if place == "emulator":
                    observed = ON_EMULATOR[fact.name](emulator)
                else:
                    observed = {"interpreter": ON_INTERPRETER, "plan": ON_PLAN}[place][fact.name]()
                yield fact.compare_with(place, observed)
