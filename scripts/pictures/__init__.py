"""The pictures of README.md and docs/, drawn from the templates and from the tables that the code runs by.

They are committed beside the templates, and `python generate.py --check` tells when one is stale: a picture that a
person keeps up to date is the first thing to be wrong. Nothing here is imported by what runs.

overview.py    the whole, which README.md opens with
nesting.py     the nested stacks, and what flows between them
workflow.py    the state machine
statuses.py    the statuses of a payment
access.py      who may do what to which resource
dashboard.py   a dashboard with what was measured
demo_run.py    measures a run, and draws docs/dashboard.svg of it: with `make pictures`, and not checked
templates.py   what the pictures read of the templates
mermaid.py     words of Mermaid
svg.py         the elements of the other pictures
"""

from collections.abc import Mapping

from . import access, nesting, overview, statuses, workflow
from .mermaid import replaced_first
from .templates import Template


def render(documents: Mapping[str, Template], readme: str) -> dict[str, str]:
    """Path in the repository and content of every file with pictures; of ``readme`` the first picture is replaced."""
    return {
        "README.md": replaced_first(readme, overview.diagram(documents)),
        "docs/architecture.md": _architecture(documents),
        "docs/access.svg": access.svg(documents),
        "docs/payment-status.md": statuses.page(),
    }


def _architecture(documents: Mapping[str, Template]) -> str:
    return "\n".join(
        [
            "# The platform in pictures",
            "",
            "Drawn by `python generate.py` from what is deployed; never edited by hand.",
            "[The statuses of a payment](payment-status.md) have a page of their own.",
            "",
            "## The stacks, and what flows between them",
            "",
            *nesting.section(documents),
            "",
            "## The state machine",
            "",
            *workflow.section(),
            "",
            "## Who may do what",
            "",
            *access.section(),
            "",
        ]
    )
