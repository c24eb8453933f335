"""``python -m scripts.local stop`` ends the AWS emulator that a command left running."""

import sys

from . import server


def main(arguments: list[str]) -> int:
    if arguments != ["stop"]:
        print("usage: python -m scripts.local stop", file=sys.stderr)
        return 2
    ended = server.stop_kept_server()
    print(f"the AWS emulator at {ended.url} has ended" if ended else "the AWS emulator is not running")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
