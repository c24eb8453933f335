"""``python -m tests.draw_pictures`` draws all pictures in a process of its own, in which sets have another order.

Reads the template documents, README.md and a dashboard's body as JSON. Writes the pictures as JSON.
"""

import json
import sys

from scripts import pictures
from scripts.pictures import dashboard
from tests.made_up import measured

if __name__ == "__main__":
    source = json.load(sys.stdin)
    drawings = pictures.render_pictures(source["documents"], source["readme"])
    dashboard_picture = dashboard.draw_dashboard(source["body"], measured, {})
    json.dump(drawings | {"docs/dashboard.svg": dashboard_picture}, sys.stdout)
