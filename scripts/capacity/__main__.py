from .cli import main

main(prog_name="scripts/capacity.sh")
