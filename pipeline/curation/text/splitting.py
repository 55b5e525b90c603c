"""Cutting long documents at paragraph boundaries, so that shuffling documents means something for books.

Invariant: the pieces joined by the blanks between them are the document; no piece is longer than the bound; every
piece but the last is at least half as long where paragraphs allow it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BOUNDARIES = (
    re.compile(r"\n\n"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?…。！？।؟])\s*"),
    re.compile(r"\s"),
    re.compile("\u200b"),  # between words of Thai, Lao, Burmese and Khmer, whose blanks part sentences
)


def split_document(text: str, limit: int) -> list[str]:
    """Pieces of at most `limit` UTF-8 bytes, cut at the best boundary: paragraph, line, sentence, blank, zero-width
    space, character."""
    if not is_longer(text, limit):
        return [text]
    pieces = [piece.strip().strip("\u200b").strip() for piece in _pieces(text, limit)]
    return [piece for piece in pieces if piece]


def is_longer(text: str, limit: int) -> bool:
    """Whether the text has more than `limit` UTF-8 bytes; half a character counts as one."""
    if len(text) > limit or len(text) * 4 <= limit:
        return len(text) > limit
    return len(text.encode("utf-8", errors="surrogatepass")) > limit


def _pieces(text: str, limit: int) -> Iterator[str]:
    """Greedy: as much as fits, ending at the strongest boundary in the second half of it."""
    start = 0
    while start < len(text):
        window = text[start : start + limit]
        fits = len(window.encode()[:limit].decode("utf-8", errors="ignore"))
        if start + fits >= len(text):
            yield text[start:]
            return
        cut = _best_cut(window[:fits])
        yield text[start : start + cut]
        start += cut


def _best_cut(window: str) -> int:
    half = len(window) // 2
    for boundary in _BOUNDARIES:
        ends = [match.end() for match in boundary.finditer(window, half) if match.end() > half]
        if ends:
            return ends[-1]
    return len(window)
