#!/usr/bin/env bash
# The outputs of an environment's stack: scripts/outputs.sh ENVIRONMENT ...; --help tells the rest.
exec "$(dirname "${BASH_SOURCE[0]}")/python.sh" scripts.deployer.cli.outputs "$@"
