#!/usr/bin/env bash
# Run a function from lambda/ on the AWS emulator: scripts/invoke.sh FUNCTION EVENT; --help tells the rest.
exec "$(dirname "${BASH_SOURCE[0]}")/python.sh" scripts.deployer.cli.invoke "$@"
