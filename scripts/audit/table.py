"""Prints the audit: a line for each check, the open findings, and the suppressed ones with reasons."""

from collections import defaultdict
from collections.abc import Iterable

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from .privileges import Comparison, Grant
from .recorded_runs import Markers, Mutations
from .results import Result, Suppression

WIDTH = 100
JUDGED = (
    "Judged is prod, with every optional part switched on; dev and staging as their settings deploy them, against the "
    "differences that scripts/audit/differences.toml accepts."
)


def show_scans(console: Console, results: list[Result]) -> None:
    console.print(JUDGED)
    console.print(_make_checks_table(results))
    for result in results:
        if result.failed:
            console.print(f"{result.check}: {result.failed}", style="red")
        for finding in result.open:
            console.print(f"open: {finding.rule} at {finding.location}: {finding.message}", style="red")
    console.print(_make_suppressions_table(results))


def show_recorded_runs(console: Console, compared: Comparison, markers: Markers, mutations: Mutations | None) -> None:
    console.print(_make_privileges_table(compared))
    for grant in compared.unused:
        console.print(f"granted and not used: {_describe_grant(grant)}", style="red")
    if compared.unused:
        console.print(
            "a test in tests/e2e makes each of these calls, or stacks/security/role_policies.py does not allow it"
        )
    for call in compared.ungranted:
        console.print(f"used and not granted: {call.role} {call.action} {call.resource}", style="red")
    if mutations is None:
        console.print("\nmutations: planted each night, by `make mutate`")
    else:
        console.print(f"\nmutations: caught {mutations.detected}, planted {mutations.planted}")
        for missed in mutations.missed:
            console.print(f"not caught: {missed}", style="red")
    console.print(
        f"markers: found {markers.leaked}; {markers.markers} values sent through {markers.paths} paths, looked for in "
        f"{markers.places} places outside the tables"
    )


def _make_checks_table(results: list[Result]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=WIDTH)
    table.add_column("Check", ratio=1)
    for heading in ("Rules applied", "Open", "Suppressed"):
        table.add_column(heading, justify="right")
    for result in results:
        state = "failed" if result.failed else str(len(result.open))
        table.add_row(
            result.check,
            str(result.applied),
            Text(state, style="" if result.has_passed else "red"),
            str(len(result.suppressed)),
        )
    return table


def _make_suppressions_table(results: list[Result]) -> Table:
    """Group the rules by reason, because one reason often applies to several rules."""
    rules: dict[str, set[str]] = defaultdict(set)
    places: dict[str, set[str]] = defaultdict(set)
    for result in results:
        for suppression in result.suppressed:
            rules[suppression.reason].add(suppression.rule.split("[")[0])
            places[suppression.reason].add(_short_location(suppression))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=WIDTH)
    table.add_column("Suppressed, and why", ratio=1)
    table.add_column("Rules")
    table.add_column("Where")
    for reason in rules:
        table.add_row(
            reason, "\n".join(sorted(_strip_pack_prefixes(rules[reason]))), _summarize_locations(sorted(places[reason]))
        )
    return table


def _strip_pack_prefixes(rules: Iterable[str]) -> set[str]:
    """Remove the prefix of each pack, so that a rule of several packs is listed once."""
    packs = ("PCI.DSS.321-", "NIST.800.53.R5-", "HIPAA.Security-")
    return {next((rule.removeprefix(pack) for pack in packs if rule.startswith(pack)), rule) for rule in rules}


def _short_location(suppression: Suppression) -> str:
    """Return the logical id of a resource, or the file of code without the line, because lines move."""
    if ".py:" in suppression.location:
        return suppression.location.rsplit(":", 1)[0].rsplit("/", 1)[-1]
    return suppression.location if "*" in suppression.location else suppression.location.split("/")[-1]


def _summarize_locations(places: list[str]) -> str:
    return places[0] if len(places) == 1 else f"{len(places)} places"


def _make_privileges_table(compared: Comparison) -> Group:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=WIDTH)
    table.add_column("Role", ratio=1)
    for heading in ("Granted", "Exercised", "Via key", "Exempt", "Unused", "Not granted"):
        table.add_column(heading, justify="right")
    roles = sorted({grant.role for grant in compared.granted})
    for role in [*roles, "All"]:
        granted, unused, ungranted = (
            sum(entry.role == role or role == "All" for entry in entries)
            for entries in (compared.granted, compared.unused, compared.ungranted)
        )
        keys = sum(grant.role == role or role == "All" for grant in compared.by_key)
        exempt = sum(grant.role == role or role == "All" for grant, _ in compared.exempt)
        table.add_row(
            role,
            *map(str, (granted, granted - unused - exempt - keys, keys, exempt, unused, ungranted)),
            end_section=role == roles[-1],
        )
    reasons = {
        reason: sorted({grant.role for grant, reason_of_grant in compared.exempt if reason_of_grant == reason})
        for _, reason in compared.exempt
    }
    lines = [Text(f"exempt: {reason}") for reason in reasons]
    return Group(table, *lines)


def show_lists(console: Console, compared: Comparison) -> None:
    """Print every grant, with whether it is used, and every call."""
    exempt = dict(compared.exempt)
    for grant in compared.granted:
        state = "unused " if grant in compared.unused else "exempt " if grant in exempt else "used   "
        console.print(f"granted  {state}  {_describe_grant(grant)}", soft_wrap=True)
    for call in compared.exercised:
        because = f"  (implied by {call.because})" if call.because else ""
        console.print(f"used  {call.role}  {call.action}  {call.resource}{because}", soft_wrap=True)


def _describe_grant(grant: Grant) -> str:
    return f"{grant.role}.{grant.sid}  {grant.action}  {grant.resource}"
