"""Renders the files of ``templates/``."""

from typing import Any

from . import emit, parent, settings
from .artifacts import stack as artifacts
from .artifacts.deployers.policy_terms import Environments


def build_documents(suffix: str = "yaml") -> dict[str, dict[str, Any]]:
    """Return every template as plain data by its name. Uses no network and writes nothing."""
    environments = Environments(settings.deployed_environments(), settings.unprotected_environments())
    templates = {**parent.build(suffix), "artifacts": artifacts.build(environments)}
    return {name: emit.document(template) for name, template in templates.items()}


def as_files(documents: dict[str, dict[str, Any]], format: str) -> dict[str, str]:
    """Return the content of every template by its file name. ``format`` is ``yaml`` or ``json``."""
    as_text = {"yaml": emit.as_yaml, "json": emit.as_json}[format]
    return {f"{name}.{format}": as_text(document) for name, document in documents.items()}


def render_files(format: str = "yaml") -> dict[str, str]:
    return as_files(build_documents(format), format)
