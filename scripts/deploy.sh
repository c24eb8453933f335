#!/usr/bin/env bash
# Deploy the payment platform: scripts/deploy.sh ENVIRONMENT ...; --help tells the rest.
exec "$(dirname "${BASH_SOURCE[0]}")/python.sh" scripts.deployer.cli.deploy "$@"
