"""SVG elements as text. Every picture is a white card, so that it reads well in both of GitHub's themes."""

from collections.abc import Iterable

INK = "#1f2328"
FAINT = "#59636e"
RULE = "#d1d9e0"
FONT = "-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"
# The width of a sans-serif letter in units of its size, wide enough for any of the fonts.
LETTER, CAPITAL = 0.57, 0.74

# html.escape would load a table of all entities, which takes a noticeable part of a run of generate.py.
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


def escape(words: str) -> str:
    return words.translate(_ESCAPED)


def card(width: float, height: float, title: str, elements: Iterable[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
            f' viewBox="0 0 {width:g} {height:g}" font-family="{FONT}" role="img">',
            f"<title>{escape(title)}</title>",
            rect(0.5, 0.5, width - 1, height - 1, fill="#ffffff", stroke=RULE, rx=8),
            *elements,
            "</svg>",
            "",
        ]
    )


def rect(x: float, y: float, width: float, height: float, **style: object) -> str:
    return f'<rect x="{x:.6g}" y="{y:.6g}" width="{width:.6g}" height="{height:.6g}"{_style(style)}/>'


def line(x1: float, y1: float, x2: float, y2: float, **style: object) -> str:
    return f'<line x1="{x1:.6g}" y1="{y1:.6g}" x2="{x2:.6g}" y2="{y2:.6g}"{_style({"stroke": RULE} | style)}/>'


def text(x: float, y: float, words: str, size: float = 12, **style: object) -> str:
    """Draw text whose baseline is at ``y``."""
    style = {"font_size": size, "fill": INK} | style
    return f'<text x="{x:.6g}" y="{y:.6g}"{_style(style)}>{escape(words)}</text>'


def width_of(words: str, size: float) -> float:
    return size * sum(CAPITAL if letter.isupper() else LETTER for letter in words)


def shorten_to_width(words: str, width: float, size: float) -> str:
    """Return the words, cut with an ellipsis if they are wider than ``width``."""
    if width_of(words, size) <= width:
        return words
    length = len(words) - 1
    while length and width_of(f"{words[:length]}…", size) > width:
        length -= 1
    return f"{words[:length]}…"


def _style(style: dict[str, object]) -> str:
    return "".join(f' {name.replace("_", "-")}="{escape(str(value))}"' for name, value in style.items())
