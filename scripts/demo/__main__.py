from .run import main

main(prog_name="make demo")
