#!/usr/bin/env bash
# What the functions and the workflow logged: scripts/logs.sh ENVIRONMENT [FUNCTION] ...; --help tells the rest.
exec "$(dirname "${BASH_SOURCE[0]}")/python.sh" scripts.operator.cli.logs "$@"
