"""How hard an English document is to read, by its Flesch-Kincaid grade level (Kincaid et al. 1975)."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.curation.filters.filter import Filter, Rule, Signals, bounds


class Grade(Filter):
    """Reading levels. Documents in other languages have no grade, and break neither rule."""

    minimum_grade: float | None = None
    maximum_grade: float | None = None
    """Flesch-Kincaid grade; English only."""

    def rules(self, signals: Signals) -> Iterator[Rule]:
        return bounds(signals, "grade", least=self.minimum_grade, most=self.maximum_grade)
