"""CPU time of commands that end before they do any work, against an interpreter that ends at once."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from scripts.common.paths import ROOT

from .generator import children_cpu_seconds

RUNS = 15
# A command of scripts/, as its script starts it: the module, and the arguments.
_COMMANDS = {
    "capacity.sh --help": ("scripts.capacity", "--help"),
    "deploy.sh --help": ("scripts.deployer.cli.deploy", "--help"),
    "deploy.sh plan --help": ("scripts.deployer.cli.deploy", "plan", "--help"),
    "destroy.sh --help": ("scripts.deployer.cli.destroy", "--help"),
    "invoke.sh --help": ("scripts.deployer.cli.invoke", "--help"),
    "logs.sh --help": ("scripts.operator.cli.logs", "--help"),
    "outputs.sh --help": ("scripts.deployer.cli.outputs", "--help"),
    "status.sh --help": ("scripts.deployer.cli.status", "--help"),
    "verify.sh --help": ("scripts.verify", "--help"),
    "payments.sh --help": ("scripts.operator", "--help"),
    "payments.sh, an argument is wrong": ("scripts.operator", "--env", "dev", "start", "T-1"),
    "deploy.sh plan dev --offline": ("scripts.deployer.cli.deploy", "plan", "dev", "--offline", "--against", "HEAD"),
}
# The same with a change, in a setting of this line.
_WITH_CHANGE = "deploy.sh plan dev --offline, a change"
_SETTING = ("\nlog_retention_days = 1\n", "\nlog_retention_days = 7\n")


def compare_starts() -> Iterator[str]:
    """Yield a line for each command: its seconds of CPU time, and the ratio to those of an interpreter alone."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'lambda'}"}
    # What was compiled by an earlier run is read, as usual.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    commands = {"python -c pass": ["-c", "pass"]}
    commands |= {name: ["-m", *words] for name, words in _COMMANDS.items()}
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as settings:
        settings.write((ROOT / "stacks" / "environments.toml").read_text(encoding="utf-8").replace(*_SETTING))
        settings.flush()
        commands[_WITH_CHANGE] = [*commands["deploy.sh plan dev --offline"], "--settings", settings.name]
        times = _measure_commands(commands, environment)
    alone = min(times["python -c pass"])
    for name, seconds in times.items():
        yield f"{name:40}{min(seconds):6.2f} s {min(seconds) / alone:5.1f} times an interpreter alone"


def _measure_commands(commands: dict[str, list[str]], environment: dict[str, str]) -> dict[str, list[float]]:
    """Return the CPU times in seconds of several runs of each command."""
    # The least of several runs was disturbed least. They alternate, so that a slow moment of the machine affects all.
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, arguments in commands.items():
            times[name].append(_measure_command([sys.executable, *arguments], environment))
    return times


def _measure_command(command: list[str], environment: dict[str, str]) -> float:
    """Return the CPU time in seconds. The exit code is the command's own: a plan with changes ends with 2."""
    before = children_cpu_seconds()
    subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True)
    return children_cpu_seconds() - before
