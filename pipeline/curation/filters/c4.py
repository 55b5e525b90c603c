"""C4's rules for whole documents (Raffel et al. 2020, section 2.2), with the published values as defaults."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from pipeline.curation.filters.filter import Filter, Rule, Signals, bounds


class C4(Filter):
    """C4's rules for whole documents; its line rules are `normalizing.c4_lines`."""

    sentences: int | None = Field(5, ge=0)
    lorem_or_bracket: bool = True
    """Drop documents with "lorem ipsum" or a curly bracket."""

    def rules(self, signals: Signals) -> Iterator[Rule]:
        if self.lorem_or_bracket:
            yield Rule("c4: lorem ipsum or bracket", signals["lorem_or_bracket"], signals["lorem_or_bracket"])
        yield from bounds(signals, "c4_sentences", least=self.sentences, label="c4: ", called="sentences")
