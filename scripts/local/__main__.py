"""The AWS emulator that a command left running: ``python -m scripts.local stop`` ends it.

``python -m scripts.local environment`` prints the variables with which the AWS CLI uses it, for the shell's ``eval``.
"""

import sys

from . import server


def main(arguments: list[str]) -> int:
    if arguments == ["environment"]:
        return print_environment()
    if arguments != ["stop"]:
        print("usage: python -m scripts.local stop|environment", file=sys.stderr)
        return 2
    ended = server.stop_kept_server()
    print(f"the AWS emulator at {ended.url} has ended" if ended else "the AWS emulator is not running")
    return 0


def print_environment() -> int:
    running = server.find_kept_server()
    if running is None:
        print(server.describe_absence(), file=sys.stderr)
        return 1
    for name, value in server.describe_access(running.url).items():
        print(f"export {name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
