"""``python -m scripts.deployer.cli.sbom [FILE]``: write the bill of materials of what runs in Lambda."""

import sys
from pathlib import Path

from scripts.common.files import write_file
from scripts.common.packaging import Destination
from scripts.common.paths import TEMPLATES

from ..package import package_templates
from ..sbom import SUFFIX


def main(arguments: list[str]) -> int:
    packaged = package_templates(TEMPLATES / "parent.yaml", Destination("", "", ""))
    (bill,) = (content for key, content in packaged.files.items() if key.endswith(SUFFIX))
    if not arguments:
        sys.stdout.write(bill.decode())
        return 0
    path = Path(arguments[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, bill)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
