"""The format `wiki_dump`: articles as WikiExtractor writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.curation.sources.formats.format import TextFormat
from pipeline.curation.sources.formats.layout import Layout

_ARTICLE = re.compile(r'<doc\b[^>]*?\btitle="([^"\n]*)"[^>]*>\n?(.*?)</doc>', re.DOTALL)


class WikiDump(TextFormat):
    """Articles in `<doc title="…">`, each a group of its title."""

    meaning = '`<doc … title="…">` articles'

    def documents(self, text: str, entry: str, layout: Layout) -> Iterator[tuple[str, str]]:
        return ((match[1], match[2]) for match in _ARTICLE.finditer(text))
