"""All pictures of what is given, as JSON: in a process of its own, where sets have an order of their own.

``python -m tests.drawn`` reads the template documents, README.md and a dashboard's body.
"""

import json
import sys

from scripts import pictures
from scripts.pictures import dashboard
from tests.made_up import measured

if __name__ == "__main__":
    given = json.load(sys.stdin)
    drawn = pictures.render(given["documents"], given["readme"])
    json.dump(drawn | {"docs/dashboard.svg": dashboard.render(given["body"], measured, {})}, sys.stdout)
