#!/usr/bin/env bash
# How an environment is: scripts/status.sh ENVIRONMENT ...; --help tells the rest.
exec "$(dirname "${BASH_SOURCE[0]}")/python.sh" scripts.deployer.cli.status "$@"
