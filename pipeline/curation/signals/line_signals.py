"""Signals that need the lines of one text: what repeats, how lines begin, end and how long they are."""

from __future__ import annotations

import re
from typing import Final

from pipeline.curation.text.punctuation import TERMINAL

_SHORT_LINE: Final = 30
_LINE_ENDS = re.compile(r"\n+")
_PARAGRAPH_ENDS = re.compile(r"\n{2,}")


def line_signals(text: str) -> dict[str, float]:
    """Shares of the text's lines, paragraphs or characters, by signal."""
    size = len(text)
    paragraphs = _PARAGRAPH_ENDS.split(text.strip())
    written = _LINE_ENDS.split(text)
    copies, copied = _duplicates(written)
    paragraph_copies, paragraph_copied = _duplicates(paragraphs)
    filled = [line for line in text.split("\n") if line.strip()]
    lines = text.splitlines()
    return {
        "duplicate_paragraphs": paragraph_copies / len(paragraphs),
        "repeated_paragraph_characters": paragraph_copied / size if size else 0.0,
        "duplicate_lines": copies / len(written),
        "repeated_line_characters": copied / size if size else 0.0,
        "punctuated_lines": sum(line[-1] in TERMINAL for line in filled) / max(len(filled), 1),
        "short_lines": sum(len(line) <= _SHORT_LINE for line in filled) / max(len(filled), 1),
        "duplicate_line_characters": _duplicates(filled)[1] / max(len(text.replace("\n", "")), 1),
        "bullet_lines": sum(line.lstrip().startswith(("•", "-")) for line in lines) / max(len(lines), 1),
        "ellipsis_lines": sum(line.rstrip().endswith(("...", "…")) for line in lines) / max(len(lines), 1),
    }


def _duplicates(items: list[str]) -> tuple[int, int]:
    """How many items repeat an earlier one, and the characters in them."""
    unique = set(items)
    if len(unique) == len(items):
        return 0, 0
    return len(items) - len(unique), sum(map(len, items)) - sum(map(len, unique))
