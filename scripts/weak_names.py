"""``python -m scripts.weak_names``: count the names in the Python sources that do not say what they hold.

A pronoun or a participle alone (``it``, ``made``) tells no more than the assignment beside it. The share of such names
among all bound names is limited by ``LARGEST_SHARE``; ``--list`` prints where each is.
"""

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.common.paths import ROOT

LARGEST_SHARE = 0.01
SOURCES = ("lambda", "scripts", "stacks", "tests", "generate.py")
WEAK_NAMES = frozenset(
    word
    for line in Path(__file__).with_name("weak_names.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
    for word in line.split()
)


class Binding(NamedTuple):
    name: str
    kind: str
    path: Path
    line: int


def read_bindings(path: Path) -> Iterator[Binding]:
    """Yield every name that the module at ``path`` binds, except imported ones."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield Binding(name, "function", path, node.lineno)
            case ast.ClassDef(name=name):
                yield Binding(name, "class", path, node.lineno)
            case ast.arg(arg=name):
                yield Binding(name, "parameter", path, node.lineno)
            case ast.Name(id=name, ctx=ast.Store()) | ast.ExceptHandler(name=str(name)):
                yield Binding(name, "variable", path, node.lineno)
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield Binding(name, "attribute", path, node.lineno)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield Binding(name, "variable", path, node.lineno)


def list_sources(paths: Iterable[Path] = ()) -> list[Path]:
    """Return the Python sources in these files and folders, or all of this repository."""
    roots = [path.resolve() for path in paths] or [ROOT / name for name in SOURCES]
    return sorted(path for root in roots for path in ([root] if root.is_file() else root.rglob("*.py")))


def is_weak(name: str) -> bool:
    return name.strip("_").lower() in WEAK_NAMES


def is_one_word(binding: Binding) -> bool:
    return binding.kind == "function" and not binding.name.startswith("__") and "_" not in binding.name.strip("_")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.weak_names", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="Files or folders.  [default: all Python sources]")
    parser.add_argument("--list", action="store_true", help="Print where each weak name and one-word function stands.")
    options = parser.parse_args(arguments)
    bindings = [binding for path in list_sources(options.paths) for binding in read_bindings(path)]
    weak = [binding for binding in bindings if is_weak(binding.name)]
    functions = [binding for binding in bindings if binding.kind == "function" and not binding.name.startswith("__")]
    if options.list:
        for binding in [*weak, *filter(is_one_word, functions)]:
            print(f"{binding.path.relative_to(ROOT)}:{binding.line}: {binding.kind} {binding.name}")
    share = len(weak) / max(1, len(bindings))
    top = ", ".join(f"{name} {count}" for name, count in Counter(binding.name for binding in weak).most_common(12))
    print(f"{len(weak)} of {len(bindings)} names are weak ({share:.2%}; at most {LARGEST_SHARE:.0%}): {top or 'none'}")
    print(f"{sum(map(is_one_word, functions))} of {len(functions)} functions have a name of one word")
    return int(share >= LARGEST_SHARE)


if __name__ == "__main__":
    sys.exit(main())
