from .cli import main

# The variable by which click completes words in a shell; by default it has the slash of the program's name.
main(prog_name="scripts/payments.sh", complete_var="_PAYMENTS_COMPLETE")
