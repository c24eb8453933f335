#!/usr/bin/env bash
# Look after payments: scripts/payments.sh --env ENVIRONMENT dlq list ...; --help tells the rest.
exec "$(dirname "${BASH_SOURCE[0]}")/python.sh" scripts.operator "$@"
