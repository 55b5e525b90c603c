"""The number of words that a document of any corpus must have."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from pipeline.curation.filters.filter import Filter, Rule, Signals, bounds


class Length(Filter):
    """Words."""

    minimum_words: int | None = Field(None, ge=0)
    maximum_words: int | None = Field(None, ge=1)

    def rules(self, signals: Signals) -> Iterator[Rule]:
        return bounds(signals, "words", least=self.minimum_words, most=self.maximum_words)
