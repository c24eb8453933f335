#!/usr/bin/env bash
# Take an environment down: scripts/destroy.sh ENVIRONMENT ...; --help tells the rest.
exec "$(dirname "${BASH_SOURCE[0]}")/python.sh" scripts.deployer.cli.destroy "$@"
