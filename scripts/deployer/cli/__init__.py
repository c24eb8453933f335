"""The commands: deploy.sh, status.sh, outputs.sh and destroy.sh of scripts/, a module each, and what they share."""
