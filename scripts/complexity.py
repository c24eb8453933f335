"""``python -m scripts.complexity``: list the functions with too many branches; exit with 1 if there are any."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from radon.complexity import cc_visit
from radon.visitors import Function

from scripts.weak_names import list_sources

LARGEST_COMPLEXITY = 15


def find_complex_functions(paths: Iterable[Path]) -> Iterator[str]:
    """Yield a line for each function above the limit, with its file and its complexity."""
    for path in paths:
        for block in cc_visit(path.read_text(encoding="utf-8")):
            if isinstance(block, Function) and block.complexity > LARGEST_COMPLEXITY:
                yield f"{path}:{block.lineno}: {block.fullname} has complexity {block.complexity}"


def main() -> int:
    lines = list(find_complex_functions(list_sources()))
    print("\n".join(lines) or f"no function has a complexity above {LARGEST_COMPLEXITY}")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
