"""The pictures of README.md and docs/, drawn from the templates and from the tables that the code runs by.

They are committed, and `python3 generate.py --check` fails if one is stale. A resource type that a picture does not
know is left out. Nothing that runs in AWS imports this package.

overview.py    the whole, which README.md opens with
nesting.py     the nested stacks, and what flows between them
workflow.py    the state machine
statuses.py    the statuses of a payment
access.py      who may do what to which resource
backlog.py     open payments through a simulated outage
scale.py       what growth costs, and which limits it reaches: `make generate` writes it, a test checks it
dashboard.py   a dashboard with what was measured
demo_run.py    measures a run, and draws docs/dashboard.svg of it: with `make pictures`, and not checked
templates.py   reads the templates
mermaid.py     diagrams as Mermaid
svg.py         the elements of the other pictures
"""

from collections.abc import Mapping

from . import access, backlog, nesting, overview, statuses, workflow
from .mermaid import replace_first_diagram
from .templates import Template, complete


def render_pictures(documents: Mapping[str, Template], readme: str) -> dict[str, str]:
    """Draw all pictures. Returns the content of each file by its path in the repository.

    In ``readme``, the content of README.md, only the first picture is replaced.
    """
    documents = complete(documents)
    return {
        "README.md": replace_first_diagram(readme, overview.draw_diagram(documents)),
        "docs/architecture.md": _draw_architecture(documents),
        "docs/access.svg": access.draw_svg(documents),
        "docs/backlog.svg": backlog.draw_svg(),
        "docs/payment-status.md": statuses.draw_page(),
    }


def _draw_architecture(documents: Mapping[str, Template]) -> str:
    return "\n".join(
        [
            "# The platform in pictures",
            "",
            "Drawn by `python3 generate.py` from what is deployed; never edited by hand.",
            "[The statuses of a payment](payment-status.md) have a page of their own.",
            "",
            "## The stacks, and what flows between them",
            "",
            *nesting.draw_section(documents),
            "",
            "## The state machine",
            "",
            *workflow.draw_section(),
            "",
            "## Who may do what",
            "",
            *access.draw_section(),
            "",
        ]
    )
