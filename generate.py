#!/usr/bin/env python3
"""Emit the CloudFormation templates of ``templates/`` from the troposphere modules of ``stacks/``, and draw them.

With --parameters, print the parameters of an environment for another tool instead.
"""

import argparse
import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
TEMPLATES = ROOT / "templates"
PYTHON = ROOT / ".venv" / "bin" / "python"


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    if options.format == "json" and options.output == TEMPLATES:
        return _fail("templates/ holds YAML; name another --output for JSON")
    try:
        from stacks import settings
        from stacks.compute.layers import RequirementError
        from stacks.render import DeclarationError, as_files, build_documents
    except ModuleNotFoundError as error:
        return _restart_with_dependencies(error)
    if options.parameters:
        return print_parameters(options.parameters, options.tool)
    try:
        templates = build_documents(options.format)
    except (DeclarationError, RequirementError, settings.SettingsError) as error:
        return _fail(str(error))
    files = as_files(templates, options.format)
    exit_code = check_files(files, options.output) if options.check else write_files(files, options.output)
    # The pictures are of the committed templates, not of a copy elsewhere.
    if options.output == TEMPLATES and (options.check or not exit_code):
        exit_code |= _draw_pictures(templates, options.check)
    try:
        settings.check_file()
    except settings.SettingsError as error:
        # The templates need only the names of the environments, and which are protected.
        return _fail(str(error))
    return exit_code


def print_parameters(environment: str, tool: str) -> int:
    """Print the parameters of templates/parent.yaml; of templates/artifacts.yaml, if the environment is "bootstrap"."""
    from stacks import settings

    try:
        is_bootstrap = environment == settings.BOOTSTRAP
        values = settings.load_bootstrap() if is_bootstrap else settings.load(environment)
    except settings.SettingsError as error:
        return _fail(str(error))
    # What each tool reads: docs/deploying.md, "With the AWS CLI, the SAM CLI or rain".
    document: object = {
        "aws": [f"{name}={value}" for name, value in values.items()],
        "sam": values,
        "rain": {"Parameters": values},
    }[tool]
    print(json.dumps(document, indent=2))
    return 0


def _draw_pictures(templates: dict[str, dict[str, Any]], only_checks: bool) -> int:
    from scripts import pictures

    try:
        drawings = pictures.render_pictures(templates, (ROOT / "README.md").read_bytes().decode())
    except (OSError, UnicodeDecodeError) as error:
        return _fail(f"README.md cannot be read: {error}")
    except Exception as error:  # a drawing must not keep anybody from their templates
        return _fail(f"the pictures cannot be drawn: {type(error).__name__}: {error} (in {_innermost_line(error)})")
    if only_checks:
        return check_files(drawings, ROOT, "pictures", "templates/")
    return write_files(drawings, ROOT, "pictures")


def write_files(files: dict[str, str], folder: Path, kind: str = "templates") -> int:
    from scripts.common.errors import UserError
    from scripts.common.files import write_file

    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_file() or path.read_bytes() != text.encode():
                write_file(path, text.encode())
    except UserError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename}: cannot be written: {error.strerror}")
    print(f"{len(files)} {kind} written to {folder}/")
    return 0


def check_files(files: dict[str, str], folder: Path, kind: str = "templates", source: str = "stacks/") -> int:
    """Print what ``write_files`` would change. Returns 1 if anything. A folder of templates holds nothing else."""
    stale = 0
    names = [path.name for path in folder.glob("*")] if kind == "templates" else files
    try:
        committed_files = {
            name: (folder / name).read_bytes().decode() for name in sorted(names) if (folder / name).is_file()
        }
    except (OSError, UnicodeDecodeError) as error:
        return _fail(f"{folder}/ cannot be read: {error}")
    for name in sorted({*files, *committed_files}):
        committed, generated = committed_files.get(name, ""), files.get(name, "")
        if committed != generated:
            import difflib  # only what is stale needs it

            stale += 1
            sys.stdout.writelines(
                difflib.unified_diff(
                    committed.splitlines(keepends=True),
                    generated.splitlines(keepends=True),
                    f"{folder / name} (committed)",
                    f"{folder / name} (generated)" if name in files else "/dev/null",
                )
            )
    if stale:
        again = " ".join(["python3 generate.py", *(argument for argument in sys.argv[1:] if argument != "--check")])
        return _fail(f"{stale} of {len(files)} {kind} in {folder}/ are stale; run `{again}`")
    print(f"{len(files)} {kind} in {folder}/ are what {source} generates")
    return 0


def _innermost_line(error: Exception) -> str:
    import traceback  # only an error needs it

    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff if a file is stale")
    action.add_argument(
        "--parameters",
        metavar="ENVIRONMENT",
        help="write nothing; print the environment's parameters, or those of the artifacts stack for `bootstrap`",
    )
    parser.add_argument(
        "--tool",
        choices=("aws", "sam", "rain"),
        default="aws",
        help="who reads the parameters; default: aws, the AWS CLI",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=TEMPLATES,
        metavar="DIR",
        help="no pictures; default: templates/",
    )
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml")
    return parser.parse_args(arguments)


def _restart_with_dependencies(error: ModuleNotFoundError) -> int:
    """Start again with the Python that `make` has set up, if this one lacks a dependency."""
    if PYTHON.exists() and Path(sys.prefix).resolve() != PYTHON.parent.parent.resolve():
        os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606 - the project's own interpreter, no shell
    return _fail(f"{error.name} is not installed; `make generate` installs all that is needed")


def _fail(message: str) -> int:
    print(f"generate.py: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    # It makes little garbage, and ends soon.
    gc.disable()
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader of a long diff has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
