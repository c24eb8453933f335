"""The runtime that the functions run on in Lambda: the only place that names it.

Functions, layer, bill of materials and the emulator's notice follow; what cannot read this file (ruff's target, the
workflows) is held equal by tests/stacks/test_runtime.py.
"""

# Supported by AWS until 2027-06-30: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
PYTHON = "3.11"
RUNTIME = f"python{PYTHON}"
ARCHITECTURE = "x86_64"
