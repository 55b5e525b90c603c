"""What cleaning changed in a text, marked: `[-removed-]` and `{+added+}`, or in colours on a terminal."""

from __future__ import annotations

import difflib
import re
from typing import Final

from rich.text import Text

_PARTS: Final = re.compile(r"\w+|\s|[^\w\s]")
_UNSEEN: Final = {"\n": "↵\n", "\r": "␍", "\t": "⇥", "\u00a0": "⍽", "\u200b": "␣", "\ufeff": "␣", "\x00": "␀"}


def marked_changes(before: str, after: str, *, colour: bool) -> Text:
    """A text after cleaning with what cleaning took and gave; characters that one cannot see are shown where they
    changed."""
    old, new = _PARTS.findall(before), _PARTS.findall(after)
    shown = Text()
    for operation, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if operation == "equal":
            shown.append("".join(new[c:d]))
            continue
        removed, added = _seen("".join(old[a:b])), _seen("".join(new[c:d]))
        if removed:
            shown.append(removed if colour else f"[-{removed}-]", style="red strike")
        if added:
            shown.append(added if colour else f"{{+{added}+}}", style="green")
    return shown


def _seen(text: str) -> str:
    return "".join(_UNSEEN.get(char, char if char.isprintable() else f"\\x{ord(char):02x}") for char in text)
