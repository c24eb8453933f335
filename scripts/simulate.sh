#!/usr/bin/env bash
# Simulate an outage of the gateway: scripts/simulate.sh ENVIRONMENT --per-second N ...; --help tells the rest.
exec "$(dirname "${BASH_SOURCE[0]}")/python.sh" scripts.simulation "$@"
