"""The nested stacks, and what each is given of the others: from the parent's parameters, and the children's outputs."""

from collections.abc import Iterable, Mapping

from .mermaid import block
from .templates import Template, children, counted, references

Flows = dict[tuple[str, str], dict[str, str]]


def flows(documents: Mapping[str, Template]) -> Flows:
    """By giving and taking stack: the parameters of the taker, with the output of the giver that each is."""
    stacks = children(documents)
    found: Flows = {}
    for taker, stack in stacks.items():
        for parameter, value in stack["Properties"].get("Parameters", {}).items():
            for giver, attribute in references(value):
                if giver in stacks:
                    found.setdefault((giver, taker), {})[parameter] = attribute.removeprefix("Outputs.")
    return found


def section(documents: Mapping[str, Template]) -> list[str]:
    found = flows(documents)
    rows = [
        f"| {giver} | {taker} | {', '.join(f'`{parameter}`' for parameter in sorted(given))} |"
        for (giver, taker), given in found.items()
    ]
    return [
        "One parent, `templates/parent.yaml`, deploys them from the top down. An arrow is what the lower stack is told",
        "of the upper one's resources.",
        "",
        diagram(documents),
        "",
        "| from | to | as the parameters |",
        "|---|---|---|",
        *rows,
    ]


def diagram(documents: Mapping[str, Template]) -> str:
    boxes = []
    for title in children(documents):
        held = counted(one["Type"] for one in documents[title.lower()]["Resources"].values())
        boxes.append(f'{title}["<b>{title}</b><br/>{held}"]')
    arrows = [
        f'{giver} -->|"{_what(documents[giver.lower()], given.values())}"| {taker}'
        for (giver, taker), given in flows(documents).items()
    ]
    return block("flowchart TB", [*boxes, *arrows])


def _what(giver: Template, outputs: Iterable[str]) -> str:
    """Which of the giver's resources the outputs are of, counted."""
    resources = giver["Resources"]
    told = {
        name for output in outputs for name, _ in references(giver["Outputs"][output]["Value"]) if name in resources
    }
    return counted(resources[name]["Type"] for name in told)
