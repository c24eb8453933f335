from .cli import main

main(prog_name="scripts/verify.sh")
