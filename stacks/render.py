"""Renders the files of ``templates/``."""

import contextlib
import io
import re
import traceback
from pathlib import Path
from typing import Any

from . import emit, parent, settings, wiring
from .artifacts import stack as artifacts
from .artifacts.deployers.policy_terms import Environments

_STACKS = Path(__file__).parent
# The modules of stacks/ that handle resources and declare none.
_MACHINERY = {str(_STACKS / name) for name in ("emit.py", "render.py", "wiring.py")}


class DeclarationError(Exception):
    """troposphere refuses what a line of ``stacks/`` declares. The message is one line: the place, and the reason."""


def build_documents(suffix: str = "yaml") -> dict[str, dict[str, Any]]:
    """Return every template as plain data by its name. Uses no network and writes nothing.

    Raises ``DeclarationError`` for what troposphere refuses, ``SettingsError`` for the settings file, and
    ``RequirementError`` for the requirements of a layer.
    """
    environments = Environments(
        settings.deployed_environments(),
        settings.unprotected_environments(),
        settings.code_only_environments(),
        settings.shifting_environments(),
    )
    remarks = io.StringIO()
    try:
        # Only there troposphere names the property whose value it refuses.
        with contextlib.redirect_stderr(remarks):
            templates = {**parent.build(suffix), "artifacts": artifacts.build(environments)}
            return {name: emit.document(template) for name, template in templates.items()}
    except (AttributeError, TypeError, ValueError) as error:
        if place := _find_refused_line(error):
            text = re.sub(r"<class .*?>: ", "", f"{remarks.getvalue()} {error}")
            raise DeclarationError(" ".join([f"{place}:", *text.split()])) from error
        raise


def _find_refused_line(error: Exception) -> str:
    """Return the line of ``stacks/`` that declares what troposphere refuses; empty for an error of our own code."""
    frames = traceback.extract_tb(error.__traceback__)
    is_refusal = isinstance(error, wiring.ResourceError) or "troposphere" in Path(frames[-1].filename).parts
    declaring = [
        frame for frame in frames if _STACKS in Path(frame.filename).parents and frame.filename not in _MACHINERY
    ]
    if not is_refusal or not declaring:
        return ""
    return f"{Path(declaring[-1].filename).relative_to(_STACKS.parent)}:{declaring[-1].lineno}"


def as_files(documents: dict[str, dict[str, Any]], format: str) -> dict[str, str]:
    """Return the content of every template by its file name. ``format`` is ``yaml`` or ``json``."""
    as_text = {"yaml": emit.as_yaml, "json": emit.as_json}[format]
    return {f"{name}.{format}": as_text(document) for name, document in documents.items()}


def render_files(format: str = "yaml") -> dict[str, str]:
    return as_files(build_documents(format), format)
