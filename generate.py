#!/usr/bin/env python3
"""Emit the CloudFormation templates of ``templates/`` from the troposphere modules of ``stacks/``."""

import argparse
import os
import sys
from pathlib import Path

TEMPLATES = Path(__file__).resolve().parent / "templates"
PYTHON = Path(__file__).resolve().parent / ".venv" / "bin" / "python"


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    if options.format == "json" and options.output == TEMPLATES:
        return _fail("templates/ holds YAML; name another --output for JSON")
    try:
        from stacks.render import render
    except ModuleNotFoundError as error:
        return _with_dependencies(error)
    files = render(options.format)
    return check(files, options.output) if options.check else write(files, options.output)


def write(files: dict[str, str], folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_bytes(text.encode())
    except OSError as error:
        return _fail(f"{error.filename}: cannot be written: {error.strerror}")
    print(f"{len(files)} templates written to {folder}/")
    return 0


def check(files: dict[str, str], folder: Path) -> int:
    """Print what ``write`` would change; 1 if anything."""
    stale = 0
    try:
        found = {path.name: path.read_bytes().decode() for path in sorted(folder.glob("*")) if path.is_file()}
    except (OSError, UnicodeDecodeError) as error:
        return _fail(f"{folder}/ cannot be read: {error}")
    for name in sorted({*files, *found}):
        committed, generated = found.get(name, ""), files.get(name, "")
        if committed != generated:
            import difflib  # only a stale template needs it

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
        again = " ".join(["python generate.py", *(argument for argument in sys.argv[1:] if argument != "--check")])
        return _fail(f"{stale} of {len(files)} templates in {folder}/ are stale; run `{again}`")
    print(f"{len(files)} templates in {folder}/ are what stacks/ generates")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff if a template is stale")
    parser.add_argument("--output", type=Path, default=TEMPLATES, metavar="DIR", help="default: templates/")
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml")
    return parser.parse_args(arguments)


def _with_dependencies(error: ModuleNotFoundError) -> int:
    """Start again with the Python that `make` has set up, if this one lacks what is needed."""
    if PYTHON.exists() and Path(sys.prefix).resolve() != PYTHON.parent.parent.resolve():
        os.execv(PYTHON, [str(PYTHON), *sys.argv])  # noqa: S606 - the project's own interpreter, no shell
    return _fail(f"{error.name} is not installed; `make generate` installs all that is needed")


def _fail(message: str) -> int:
    print(f"generate.py: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader of a long diff has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
