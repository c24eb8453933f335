#!/usr/bin/env bash
# Look after payments: scripts/payments.sh --env ENVIRONMENT dlq list ...; --help tells the rest.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Sets up .venv on first use, and after a change of the dependencies.
make --no-print-directory --silent -C "$root" .venv/installed >&2
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "$root/.venv/bin/python" -m scripts.payments "$@"
