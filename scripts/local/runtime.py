"""What the functions find beside their code: what Lambda's own runtime has, their layers, and nothing else of ours.

So a package that is only installed here is missing, as it would be on AWS.
"""

import importlib.util
import shlex
import sys
from pathlib import Path

from scripts.common.packaging import Runtime
from stacks.compute.runtime import PYTHON

# https://docs.aws.amazon.com/lambda/latest/dg/python-package.html says that the runtime has the SDK; this is what that,
# and the runtime client, import.
_PACKAGES = (
    *("awslambdaric", "runtime_client", "snapshot_restore_py", "simplejson"),
    *("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"),
)

# MiniStack's own Python worker reports every error as Runtime.HandlerError, so no Retry or Catch by name could match.
# AWS's runtime client reports them as on AWS; it runs as a custom runtime that starts it. The code comes first, then
# the layers, then what the runtime has: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
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
    """One line if the functions run on another Python here than in Lambda, which is allowed; else nothing."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if python == PYTHON:
        return ""
    return (
        f"The functions run on Python {python} here, and on {PYTHON} in Lambda; for the same: "
        f"make clean, then make PYTHON=python{PYTHON} demo"
    )


def link_packages(folder: Path) -> None:
    """Make ``folder`` hold the packages of Lambda's runtime, as installed here."""
    folder.mkdir()
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        if found is None or found.origin is None:
            raise ModuleNotFoundError(package)
        path = Path(found.origin)
        path = path.parent if path.name == "__init__.py" else path
        (folder / path.name).symlink_to(path)
