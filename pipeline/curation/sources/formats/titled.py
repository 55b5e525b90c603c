"""The format `titled`: a book of stories, each under its title in capital letters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipeline.curation.sources.formats.format import Document, TextFormat
from pipeline.curation.sources.formats.layout import Layout
from pipeline.curation.sources.formats.record import Passed, Refused, around

_NO_SMALL_LETTER = re.compile(r"^[^a-z\n]++$", re.MULTILINE)
_CAPITALS = re.compile("[A-Z]{2}")
_LONGEST_TITLE: Final = 200


class Titled(TextFormat):
    """Documents that begin with a line in capital letters after an empty one; what is before the first is one too."""

    meaning = "documents under lines in capital letters"

    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[Document | Refused | Passed]:
        crossed, text = text, text.replace("\r\n", "\n")
        yield around(crossed, text)
        lines = (line for line in _NO_SMALL_LETTER.finditer(text) if text.endswith("\n\n", 0, line.start()))
        starts = [line.start() for line in lines if _CAPITALS.search(line[0])]
        for start, stop in zip([0, *starts], [*starts, len(text)], strict=True):
            if not text[start:stop].strip():
                yield around(text[start:stop], "")
                continue
            title = text[start:stop].strip().split("\n", 1)[0].strip()
            yield f"{entry}/{title[:_LONGEST_TITLE]}", text[start:stop]
