"""``make lock``: write ``locks/*.txt`` with the version and the hashes of everything that pip installs.

Each extra of setup.cfg has a lock that takes the versions of those before it, beginning with the AWS emulator, which
needs one release of botocore; each ``locks/*.in`` has one for an environment of its own. A locked version stays as long
as it meets its requirements, so that a release on PyPI makes no lock stale.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.common.files import write_file
from scripts.common.paths import ROOT

LOCKS = ROOT / "locks"
UV = ROOT / ".venv" / "uv" / "bin" / "uv"
EXTRAS = ("local", "deploy", "dev", "browser")
# The oldest Python that is supported; --universal covers the newer ones, by markers where it has to.
OLDEST_PYTHON = "3.11"
HEADER = "# Written by `make lock`.\n"


class LockError(Exception):
    """uv cannot be run, or cannot resolve the requirements."""


def write_locks(folder: Path, *, upgrade: bool = False) -> dict[str, str]:
    """By name, the locks that belong in ``folder``, which holds those there are now. Raises ``LockError``."""
    for number, extra in enumerate(EXTRAS):
        constraints = [folder / f"{earlier}.txt" for earlier in EXTRAS[:number]]
        _compile(folder / f"{extra}.txt", ["setup.cfg", "--extra", extra], constraints, upgrade)
    for requirements in sorted(LOCKS.glob("*.in")):
        _compile(folder / f"{requirements.stem}.txt", [f"locks/{requirements.name}"], [], upgrade)
    return read_locks(folder)


def read_locks(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))}


def _compile(lock: Path, requirements: list[str], constraints: list[Path], upgrade: bool) -> None:
    command = [str(UV), "pip", "compile", "--quiet", "--universal", "--python-version", OLDEST_PYTHON]
    # Neither where it was found, nor on which machine.
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    command += [*requirements, "--output-file", str(lock), *(["--upgrade"] if upgrade else [])]
    command += [word for path in constraints for word in ("--constraint", str(path))]
    # Of the project alone: no settings of the user's.
    environment = os.environ | {"UV_NO_CONFIG": "1"}
    try:
        uv = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise LockError(f"{UV}: not installed; `make lock` installs it") from error
    if uv.returncode:
        raise LockError(f"{lock.name}: {' '.join(uv.stderr.split())}")
    lock.write_text(HEADER + lock.read_text(encoding="utf-8").removeprefix(HEADER), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make lock", description="Write the locks of all that is installed.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a lock is stale")
    parser.add_argument("--upgrade", action="store_true", help="take the newest releases that are allowed")
    options = parser.parse_args(arguments)
    committed = read_locks(LOCKS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for lock, text in committed.items():
            (folder / lock).write_text(text, encoding="utf-8")
        try:
            locks = write_locks(folder, upgrade=options.upgrade)
        except LockError as error:
            print(f"make lock: {error}", file=sys.stderr)
            return 1
    stale = [lock for lock, text in locks.items() if committed.get(lock) != text]
    if options.check:
        if stale:
            print(f"make lock: stale: {', '.join(f'locks/{lock}' for lock in stale)}; run `make lock`", file=sys.stderr)
        return 1 if stale else 0
    for lock in stale:
        write_file(LOCKS / lock, locks[lock].encode())
    print(f"{len(stale)} of {len(locks)} locks written to locks/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
