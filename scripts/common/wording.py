"""Words that messages of all commands share."""

from collections.abc import Sequence


def join_names(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """Return the first ``most`` names, and how many others there are."""
    hidden = len(names) - most
    return separator.join(names[:most]) + (f" and {hidden} more" if hidden > 0 else "")
