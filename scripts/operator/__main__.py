from .cli import main

main(prog_name="scripts/payments.sh")
