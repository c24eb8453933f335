"""Prints every figure; with the file of a reference, also payments compared with its functions."""

import sys
from pathlib import Path

from scripts.capacity.demands import DEMANDS_FILE, REFERENCE_FILE, write_document
from scripts.local import server

from . import demands, deployments, payments, reference_demands
from .generator import generator_ratio
from .starts import compare_starts

server.isolate_from_user_configuration()

ratio = generator_ratio()
print(f"generating all templates takes {ratio:.2f} times the CPU time of importing troposphere alone", flush=True)
for line in compare_starts():
    print(line, flush=True)
for line in deployments.compare_deployments():
    print(line, flush=True)
write_document(DEMANDS_FILE, demands.measure_demands())
print(f"what a payment takes from AWS: {DEMANDS_FILE}", flush=True)
if len(sys.argv) > 1:
    write_document(REFERENCE_FILE, reference_demands.measure_reference(Path(sys.argv[1])))
    print(f"what a payment of the reference takes: {REFERENCE_FILE}", flush=True)
    for line in payments.compare_payments(Path(sys.argv[1])):
        print(line, flush=True)
else:
    print("payments are compared with the reference's own functions by: make bench REFERENCE=payment-workflow.md")
