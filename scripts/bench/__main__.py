"""Print every figure. With a reference's file, the payments' figures beside it too."""

import sys
from pathlib import Path

from .generator import generator_ratio

ratio = generator_ratio()
print(f"generating all templates costs {ratio:.2f} times the process that only imports troposphere", flush=True)
if len(sys.argv) > 1:
    from .payments import compare

    for line in compare(Path(sys.argv[1])):
        print(line, flush=True)
else:
    print("payments are compared with the reference's own functions by: make bench REFERENCE=payment-workflow.md")
