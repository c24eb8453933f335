"""Two sides that make payments on one emulator: the platform's functions, and those of the reference.

The reference is a Markdown file. Its functions are the code blocks below ``## lib/lambda_validation.py`` and
``## lib/lambda_processing.py``.
"""

import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from scripts.common.paths import ROOT
from scripts.common.target import Target
from scripts.deployer.deploy import deploy
from scripts.deployer.deployment_options import DeploymentOptions
from scripts.deployer.report.console_reporter import ConsoleReporter
from scripts.deployer.session import Session
from scripts.local import server, target
from stacks import names, settings


@dataclass(frozen=True)
class Side:
    """One side: the folder of its functions, and the environment in which they run."""

    name: str
    folder: str
    environment: dict[str, str]

    def start_worker(self, count: int) -> "subprocess.Popen[str]":
        """Start a process of worker.py, which makes ``count`` payments once it reads a line."""
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "scripts.bench.worker", self.name, self.folder, str(count)],
            cwd=ROOT,
            env=self.environment | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@dataclass(frozen=True)
class Comparison:
    """The platform on an emulator, and the sides that use it: ours, and the reference if there is one."""

    target: Target
    outputs: dict[str, str]
    sides: tuple[Side, ...]


@contextmanager
def run_sides(reference: Path | None) -> Iterator[Comparison]:
    """Deploy the platform to an emulator of its own, and yield both sides; without a ``reference``, only ours."""
    with tempfile.TemporaryDirectory() as folder, server.run_server() as emulator:
        if reference is not None:
            extract_functions(reference, Path(folder))
        platform = target.emulator_target(emulator)
        options = DeploymentOptions(settings.LOCAL, settings.load(settings.LOCAL), settings.load_bootstrap())
        reporter = ConsoleReporter(Console(file=io.StringIO()))
        outputs = deploy(Session(options, platform, reporter, confirm=lambda *_: True)).outputs
        environment = server.emulator_environment(emulator.url) | read_variables(platform)
        sides = [Side("ours", str(ROOT / "lambda"), environment)]
        if reference is not None:
            # The table is ours as well: the reference's items have the same key.
            sides.append(Side("reference", folder, environment | {"SNS_TOPIC_ARN": outputs["SnsTopicArn"]}))
        yield Comparison(platform, outputs, tuple(sides))


def read_variables(platform: Target) -> dict[str, str]:
    """Return the variables of the functions that a payment passes through, as they are deployed to ``local``."""
    variables: dict[str, str] = {}
    for function in (names.VALIDATION, names.PROCESSING):
        name = names.in_environment(function.name, settings.LOCAL)
        configuration = platform.client("lambda").get_function_configuration(FunctionName=name)
        variables |= configuration["Environment"]["Variables"]
    return variables


def extract_functions(reference: Path, folder: Path) -> None:
    """Write the code blocks below the headings of the two functions into ``folder``."""
    try:
        text = reference.read_text(encoding="utf-8")
    except OSError as error:
        raise SystemExit(
            f"bench: {reference}: cannot be read: {error.strerror}; name the Markdown file of the reference"
        ) from None
    for name in ("lambda_validation.py", "lambda_processing.py"):
        block = re.search(rf"^## lib/{re.escape(name)}\n+```python\n(.*?)^```", text, re.S | re.M)
        if block is None:
            raise SystemExit(f"bench: {reference} has no section `## lib/{name}`")
        (folder / name).write_text(block[1], encoding="utf-8")
