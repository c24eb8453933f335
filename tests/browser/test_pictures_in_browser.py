"""The SVG pictures in a browser: no text overlaps another, or leaves its frame, with the fonts that are installed."""

import json
from typing import TYPE_CHECKING

from scripts.pictures import dashboard
from tests.emitted import ROOT
from tests.made_up import measured
from tests.stacks.access import World

if TYPE_CHECKING:
    from playwright.sync_api import Page

# The texts that leave the first rectangle of their group, or overlap.
FIND_MISPLACED_TEXTS = """
() => {
  const beyond = (inner, outer) => inner.left < outer.left - 1 || inner.right > outer.right + 1
    || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  const misplaced = [];
  const groups = document.querySelectorAll('g.widget').length
    ? [...document.querySelectorAll('g.widget')] : [document.querySelector('svg')];
  for (const group of groups) {
    const frame = (group.querySelector('rect') || document.querySelector('svg')).getBoundingClientRect();
    const texts = [...group.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([words, box], n) => {
      if (beyond(box, frame)) misplaced.push(`beyond: ${words}`);
      for (const [other, its] of texts.slice(n + 1)) if (over(box, its)) misplaced.push(`over: ${words} | ${other}`);
    });
  }
  return misplaced;
}
"""


def find_misplaced_texts(page: "Page", picture: str) -> list[str]:
    page.set_viewport_size({"width": 1300, "height": 1000})
    page.set_content(f'<body style="margin:0">{picture}</body>')
    misplaced: list[str] = page.evaluate(FIND_MISPLACED_TEXTS)
    return misplaced


def test_the_matrix(page: "Page") -> None:
    assert find_misplaced_texts(page, (ROOT / "docs" / "access.svg").read_text(encoding="utf-8")) == []


def test_the_dashboard(page: "Page", world: World) -> None:
    body = json.loads(world.properties("Monitoring/Dashboard")["DashboardBody"])
    assert find_misplaced_texts(page, dashboard.draw_dashboard(body, measured, {})) == []


def test_what_goes_astray_is_found(page: "Page") -> None:
    frame = '<rect width="90" height="90"/>'
    beside = f'<svg width="200" height="99"><g class="widget">{frame}<text x="70" y="40">much too long</text></g></svg>'
    assert find_misplaced_texts(page, beside) == ["beyond: much too long"]
    over = f'<svg width="200" height="99"><g class="widget">{frame}<text y="20">a</text><text y="20">b</text></g></svg>'
    assert find_misplaced_texts(page, over) == ["over: a | b"]
