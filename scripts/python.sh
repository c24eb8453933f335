#!/usr/bin/env bash
# Run a module of this repository in its own environment: scripts/python.sh MODULE [ARGUMENT...]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Sets up .venv on first use, and after a change of the dependencies.
make --no-print-directory --silent -C "$root" .venv/installed >&2
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv/bin/python" -m "$@"
