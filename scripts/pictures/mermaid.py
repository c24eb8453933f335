"""Diagrams as Mermaid text: https://mermaid.js.org/syntax/flowchart.html"""

import re
from collections.abc import Iterable

# Dark text on a light card, whichever of its two themes GitHub draws with.
CLASSES = {
    "good": "fill:#dcf5e3,stroke:#2da44e,color:#1f2328",
    "bad": "fill:#ffe3e0,stroke:#cf222e,color:#1f2328",
    "waits": "fill:#fff3c4,stroke:#bf8700,color:#1f2328",
    "store": "fill:#ddf4ff,stroke:#0969da,color:#1f2328",
    "outside": "fill:#f6f8fa,stroke:#6e7781,color:#1f2328,stroke-dasharray:4 3",
}


def draw_block(kind: str, lines: Iterable[str]) -> str:
    """Return a diagram as a fenced block of Markdown."""
    return "\n".join(["```mermaid", kind, *(f"  {line}" for line in lines), "```"])


def class_of(name: str, members: Iterable[str]) -> list[str]:
    """Return the lines that give ``members`` the style of a class; none without members."""
    listed = ",".join(members)
    return [f"classDef {name} {CLASSES[name]}", f"class {listed} {name}"] if listed else []


def replace_first_diagram(text: str, diagram: str) -> str:
    """Return ``text`` with its first diagram replaced."""
    return re.sub(r"^```mermaid\n.*?^```$", lambda _: diagram, text, count=1, flags=re.MULTILINE | re.DOTALL)
