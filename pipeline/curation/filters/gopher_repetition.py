"""Gopher's repetition rules (Rae et al. 2021, table A1), with the published values as defaults."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.curation.filters.filter import Filter, Ratio, Rule, Share, Signals, bounds


class GopherRepetition(Filter):
    """Gopher's repetition rules: greatest shares of a document that repeat."""

    duplicate_paragraphs: Share | None = 0.30
    repeated_paragraph_characters: Share | None = 0.20
    duplicate_lines: Share | None = 0.30
    repeated_line_characters: Share | None = 0.20
    top_2gram: Ratio | None = 0.20
    top_3gram: Ratio | None = 0.18
    top_4gram: Ratio | None = 0.16
    repeated_5gram: Share | None = 0.15
    repeated_6gram: Share | None = 0.14
    repeated_7gram: Share | None = 0.13
    repeated_8gram: Share | None = 0.12
    repeated_9gram: Share | None = 0.11
    repeated_10gram: Share | None = 0.10

    def rules(self, signals: Signals) -> Iterator[Rule]:
        for name in type(self).model_fields:
            yield from bounds(signals, name, most=getattr(self, name), label="gopher repetition: ")
