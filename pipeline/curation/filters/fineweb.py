"""FineWeb's own rules (Penedo et al. 2024, section 3.6), with the published values as defaults."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.curation.filters.filter import Filter, Ratio, Rule, Share, Signals, bounds


class FineWeb(Filter):
    """FineWeb's own rules."""

    punctuated_lines: Share | None = 0.12
    """Least share of lines that end in punctuation."""
    short_lines: Share | None = 0.67
    """Greatest share of lines of at most 30 characters."""
    duplicate_line_characters: Share | None = 0.01
    newlines_per_word: Ratio | None = 0.3

    def rules(self, signals: Signals) -> Iterator[Rule]:
        yield from bounds(signals, "punctuated_lines", least=self.punctuated_lines, label="fineweb: ")
        for name in ("short_lines", "duplicate_line_characters", "newlines_per_word"):
            yield from bounds(signals, name, most=getattr(self, name), label="fineweb: ")
