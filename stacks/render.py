"""The files of ``templates/``, as text."""

from . import artifacts, emit, parent


def render(format: str = "yaml") -> dict[str, str]:
    """File name and content of every template, in ``yaml`` or ``json``. Touches no network and writes nothing."""
    as_text = {"yaml": emit.as_yaml, "json": emit.as_json}[format]
    templates = {**parent.build(suffix=format), "artifacts": artifacts.build()}
    return {f"{name}.{format}": as_text(template) for name, template in templates.items()}
