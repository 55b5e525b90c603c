"""Signals that need the lines of one text: what repeats, how lines begin, end and how long they are."""

from __future__ import annotations

import re
from typing import Final

from pipeline.curation.text.punctuation import TERMINAL

_SHORT_LINE: Final = 30
_PARAGRAPH_ENDS = re.compile(r"\n{2,}")


def line_signals(text: str) -> dict[str, float]:
    """Shares of the text's lines, paragraphs or characters, by signal."""
    size = len(text)
    pieces = text.split("\n")
    stripped = text.strip()
    paragraphs = _PARAGRAPH_ENDS.split(stripped) if "\n\n" in stripped else [stripped]
    written = _between_line_ends(pieces)
    copies, copied = _duplicates(written)
    paragraph_copies, paragraph_copied = _duplicates(paragraphs)
    filled = [line for line in pieces if line and not line.isspace()]
    lines = text.splitlines()
    ellipses = "…" in text or "..." in text
    return {
        "duplicate_paragraphs": paragraph_copies / len(paragraphs),
        "repeated_paragraph_characters": paragraph_copied / size if size else 0.0,
        "duplicate_lines": copies / len(written),
        "repeated_line_characters": copied / size if size else 0.0,
        "punctuated_lines": sum(line[-1] in TERMINAL for line in filled) / max(len(filled), 1),
        "short_lines": sum(len(line) <= _SHORT_LINE for line in filled) / max(len(filled), 1),
        "duplicate_line_characters": (_duplicates(filled)[1] if copies else 0) / max(size - len(pieces) + 1, 1),
        "bullet_lines": sum(line.lstrip().startswith(("•", "-")) for line in lines) / max(len(lines), 1),
        "ellipsis_lines": sum(line.rstrip().endswith(("...", "…")) for line in lines if ellipses) / max(len(lines), 1),
    }


def _between_line_ends(pieces: list[str]) -> list[str]:
    """What lies between runs of line ends, of the pieces between single ones; nothing, where a text begins or ends
    with one."""
    first = [""] if not pieces[0] else []
    last = [""] if len(pieces) > 1 and not pieces[-1] else []
    return [*first, *filter(None, pieces), *last]


def _duplicates(items: list[str]) -> tuple[int, int]:
    """How many items repeat an earlier one, and the characters in them."""
    unique = set(items)
    if len(unique) == len(items):
        return 0, 0
    return len(items) - len(unique), sum(map(len, items)) - sum(map(len, unique))
