"""Output on any terminal: signs that its encoding lacks are spelled in ASCII instead of ending in a traceback.

A pipe or a terminal in an ASCII or Latin-1 locale refuses `±` in the middle of a table. `accept_everything` gives
stdout and stderr a codec error handler that never refuses; `printable` spells a text beforehand, so that a table's
columns are as wide as what is printed.
"""

from __future__ import annotations

import codecs
import io
from typing import Final, TextIO

HANDLER: Final = "squeeze.ascii"
SPELLED: Final = {
    **dict.fromkeys("–—", "-"), **dict.fromkeys("‘’", "'"), **dict.fromkeys("“”", '"'),
    "±": "+/-", "×": "x", "·": "-", "…": "...", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≈": "~", "µ": "u",
    "✓": "ok", "█": "#", "░": ".",
}  # fmt: skip
UNKNOWN: Final = "?"


def _spelled(sign: str) -> str:
    if "\u2500" <= sign <= "\u257f":  # what tables and boxes are drawn with
        return "-" if sign in "─━╌╍═╴╶" else "|" if sign in "│┃║" else "+"
    return SPELLED.get(sign, UNKNOWN)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    # a spelling is ASCII, which every encoding of a terminal has
    return "".join(map(_spelled, signs)), error.end


codecs.register_error(HANDLER, _spell)


def accept_everything(*streams: TextIO) -> None:
    """Let the streams spell what they cannot encode; one that is no text file of Python's own is left as it is."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def printable(text: str, encoding: str) -> str:
    """The text as a stream of that encoding shows it."""
    return text.encode(encoding, HANDLER).decode(encoding)
