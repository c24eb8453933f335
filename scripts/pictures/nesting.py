"""The nested stacks and what each is given of the others, from the parent's parameters and the children's outputs."""

from collections.abc import Iterable, Mapping

from .mermaid import draw_block
from .templates import Template, count_by_noun, list_children, references

Flows = dict[tuple[str, str], dict[str, str]]


def list_flows(documents: Mapping[str, Template]) -> Flows:
    """Return, by giving and taking stack, the taker's parameters with the giver's outputs that they take."""
    stacks = list_children(documents)
    list_flows: Flows = {}
    for taker, stack in stacks.items():
        for parameter, value in stack["Properties"].get("Parameters", {}).items():
            for giver, attribute in references(value):
                if giver in stacks:
                    list_flows.setdefault((giver, taker), {})[parameter] = attribute.removeprefix("Outputs.")
    return list_flows


def draw_section(documents: Mapping[str, Template]) -> list[str]:
    rows = [
        f"| {giver} | {taker} | {', '.join(f'`{parameter}`' for parameter in sorted(parameters))} |"
        for (giver, taker), parameters in list_flows(documents).items()
    ]
    return [
        "One parent, `templates/parent.yaml`, deploys them from the top down. An arrow is what the lower stack is told",
        "of the upper one's resources.",
        "",
        draw_diagram(documents),
        "",
        "| from | to | as the parameters |",
        "|---|---|---|",
        *rows,
    ]


def draw_diagram(documents: Mapping[str, Template]) -> str:
    boxes = [
        f'{title}["<b>{title}</b><br/>{count_by_noun(documents[title.lower()]["Resources"].values())}"]'
        for title in list_children(documents)
    ]
    arrows = [
        f'{giver} -->|"{_count_sources(documents[giver.lower()], parameters.values())}"| {taker}'
        for (giver, taker), parameters in list_flows(documents).items()
    ]
    return draw_block("flowchart TB", [*boxes, *arrows])


def _count_sources(giver: Template, outputs: Iterable[str]) -> str:
    """Count the giver's resources behind the outputs."""
    names = {name for output in outputs for name, _ in references(giver.get("Outputs", {}).get(output))}
    return count_by_noun(resource for name, resource in giver["Resources"].items() if name in names)
