"""Text of strangers inside markdown: documents, generated text, file names, codes of languages that a record names.

Whatever nobody wrote to be markdown goes through `plain` on its way into some: Dagster's UI renders markdown, and a
document could bring pictures that tell somebody it was looked at, links, or tables.
"""

from __future__ import annotations

import re
from typing import Final

_MARKS: Final = re.compile(r"[\\`*\[\]~|$]|(?<![^\W_])_|_(?![^\W_])")
"""Characters that mean something in a line of markdown; an underscore only where a word begins or ends."""
_LINKS: Final = re.compile(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)|(?<=@)(?=\w)", re.IGNORECASE)
"""Where an address that is a link without any mark is taken apart, by a character that nobody sees."""


def plain(text: str) -> str:
    """Text that markdown shows as it is, in one line: no pictures, links, code, tables or HTML come of it.

    It stands behind something else on its line: what only means anything where a line begins is left as it is.
    """
    line = _LINKS.sub("\u2060", " ".join(text.splitlines()))
    return escaped(line)


def escaped(line: str) -> str:
    """As `plain`, for a line of the project's own words, in which addresses are to be links."""
    return _MARKS.sub(r"\\\g<0>", line).replace("&", "&amp;").replace("<", "&lt;")
