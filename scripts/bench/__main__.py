"""Print every figure. With a reference's file, the payments' figures beside its own."""

import sys
from pathlib import Path

from scripts.local import server

from . import deployments
from .generator import generator_ratio

server.isolate_from_user_configuration()

ratio = generator_ratio()
print(f"generating all templates takes {ratio:.2f} times the CPU time of importing troposphere alone", flush=True)
for line in deployments.compare_deployments():
    print(line, flush=True)
if len(sys.argv) > 1:
    from .payments import compare_payments

    for line in compare_payments(Path(sys.argv[1])):
        print(line, flush=True)
else:
    print("payments are compared with the reference's own functions by: make bench REFERENCE=payment-workflow.md")
