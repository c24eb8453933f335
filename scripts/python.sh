#!/usr/bin/env bash
# Run a module of this repository in its own environment: scripts/python.sh MODULE [ARGUMENT...]
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: scripts/python.sh MODULE [ARGUMENT...]" >&2; exit 2; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The AWS emulator and the simulation need more than AWS.
needed=.venv/deploy-installed
case $1 in scripts.simulation*) needed=.venv/installed ;; esac
for argument in "$@" "${PAYMENT_ENV:-}"; do case $argument in local | *=local) needed=.venv/installed ;; esac; done
# Sets up .venv on first use, and after a change of the dependencies.
# As if no other make had started this: the variables of a parallel one would make this one warn.
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory --silent -C "$root" "$needed" >&2
# Images of Python often forbid bytecode, and then each command compiles its libraries again.
unset PYTHONDONTWRITEBYTECODE
# The commands import the payment core of the functions.
PYTHONPATH="$root:$root/lambda${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv/bin/python" -m "$@"
