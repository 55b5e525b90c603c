"""The format `titled`: a book of stories, each under its title in capital letters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.curation.sources.formats.format import TextFormat
from pipeline.curation.sources.formats.layout import Layout

_TITLE = re.compile(r"^[^a-z\n]*[A-Z]{2}[^a-z\n]*$", re.MULTILINE)


class Titled(TextFormat):
    """Documents that begin with a line in capital letters after an empty one; what is before the first is one too."""

    meaning = "documents under lines in capital letters"

    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[tuple[str, str]]:
        text = text.replace("\r\n", "\n")
        starts = [match.start() for match in _TITLE.finditer(text) if text[: match.start()].endswith("\n\n")]
        for start, stop in zip([0, *starts], [*starts, len(text)], strict=True):
            title = text[start:stop].strip().split("\n", 1)[0].strip()
            yield f"{entry}/{title}", text[start:stop]
