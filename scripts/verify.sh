#!/usr/bin/env bash
# Prove that a deployed environment works: scripts/verify.sh ENVIRONMENT ...; --help tells the rest.
exec "$(dirname "${BASH_SOURCE[0]}")/python.sh" scripts.verify "$@"
