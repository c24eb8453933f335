"""The runtime of the functions in MiniStack: the packages of Lambda's own runtime, and the layers, beside the code.

A package that is only installed on this machine is missing, as it would be on AWS.
"""

import importlib.util
import shlex
import sys
from pathlib import Path

from scripts.common.packaging import Runtime
from stacks.compute.runtime import PYTHON

# The SDK, which the runtime has, the runtime client, and what they import:
# https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
_PACKAGES = (
    *("awslambdaric", "runtime_client", "snapshot_restore_py", "simplejson"),
    *("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"),
)

# MiniStack's own Python worker reports every error as Runtime.HandlerError, which no Retry or Catch by name matches.
# So the functions use a custom runtime that starts AWS's runtime client. The search path is the code, then the layers,
# then the packages of the runtime: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
_BOOTSTRAP = f"""\
#!/bin/sh
export AWS_LAMBDA_LOG_FORMAT=JSON AWS_LAMBDA_LOG_LEVEL=INFO
IFS=:
for layer in $_LAMBDA_LAYERS_DIRS; do PYTHONPATH="$PYTHONPATH$layer/python:"; done
export PYTHONPATH="$PYTHONPATH$LAMBDA_RUNTIME_DIR"
exec {shlex.quote(sys.executable)} -S -m awslambdaric "$_HANDLER"
"""
RUNTIME = Runtime(
    properties={"Runtime": "provided.al2023"},
    files=(("bootstrap", _BOOTSTRAP.encode(), 0o755),),
)


def describe_interpreter() -> str:
    """Return a notice if the functions run on another Python here than in Lambda, else an empty text."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if python == PYTHON:
        return ""
    return (
        f"The functions run on Python {python} here, and on {PYTHON} in Lambda; for the same: "
        f"make clean, then make PYTHON=python{PYTHON} demo"
    )


def link_packages(folder: Path) -> None:
    """Create ``folder`` with links to the packages of Lambda's runtime. Raises ``ModuleNotFoundError`` without one."""
    folder.mkdir()
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(package)
        path = Path(spec.origin)
        path = path.parent if path.name == "__init__.py" else path
        (folder / path.name).symlink_to(path)
