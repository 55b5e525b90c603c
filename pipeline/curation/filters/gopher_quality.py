"""Gopher's document-wise quality rules (Rae et al. 2021, section A.1.1), with the published values as defaults."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from pipeline.curation.filters.filter import Filter, Ratio, Rule, Share, Signals, bounds

LABEL = "gopher quality: "


class GopherQuality(Filter):
    """Gopher's document-wise quality rules."""

    minimum_words: int | None = Field(50, ge=0)
    maximum_words: int | None = Field(100_000, ge=1)
    minimum_word_length: Ratio | None = 3.0
    maximum_word_length: Ratio | None = 10.0
    hashes_per_word: Ratio | None = 0.1
    ellipses_per_word: Ratio | None = 0.1
    bullet_lines: Share | None = 0.9
    ellipsis_lines: Share | None = 0.3
    alphabetic_words: Share | None = 0.8
    """Least share of words with a letter."""
    stop_words: int | None = Field(2, ge=0, le=8)
    """Least number of the eight English stop words; leave out for other languages."""

    def rules(self, signals: Signals) -> Iterator[Rule]:
        yield from bounds(signals, "words", least=self.minimum_words, most=self.maximum_words, label=LABEL)
        least, most = self.minimum_word_length, self.maximum_word_length
        yield from bounds(signals, "word_length", least=least, most=most, label=LABEL)
        for name in ("hashes_per_word", "ellipses_per_word", "bullet_lines", "ellipsis_lines"):
            yield from bounds(signals, name, most=getattr(self, name), label=LABEL)
        yield from bounds(signals, "alphabetic_words", least=self.alphabetic_words, label=LABEL)
        yield from bounds(signals, "stop_words", least=self.stop_words, label=LABEL)
