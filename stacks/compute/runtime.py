"""The Lambda runtime of the functions.

Functions, layer, bill of materials and the emulator's notice read it here. tests/test_runtime.py checks the places that
cannot, such as ruff's target and the workflows.
"""

# Supported by AWS until 2027-06-30: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
PYTHON = "3.11"
RUNTIME = f"python{PYTHON}"
ARCHITECTURE = "x86_64"
