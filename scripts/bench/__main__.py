"""Prints every figure; with the file of a reference, also payments compared with its functions."""

import sys
from pathlib import Path

from scripts.local import server

from . import deployments, payments
from .generator import generator_ratio
from .starts import compare_starts

server.isolate_from_user_configuration()

ratio = generator_ratio()
print(f"generating all templates takes {ratio:.2f} times the CPU time of importing troposphere alone", flush=True)
for line in compare_starts():
    print(line, flush=True)
for line in deployments.compare_deployments():
    print(line, flush=True)
if len(sys.argv) > 1:
    for line in payments.compare_payments(Path(sys.argv[1])):
        print(line, flush=True)
else:
    print("payments are compared with the reference's own functions by: make bench REFERENCE=payment-workflow.md")
