"""The module that scripts/simulate.sh starts."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="scripts/simulate.sh")
