"""What quality models say of a document, each with thresholds of its own (`curation.quality` describes the models)."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.base.settings import later
from pipeline.curation.filters.filter import Filter, Rule, Signals
from pipeline.curation.filters.quality_thresholds import QualityThresholds


class Quality(Filter):
    """Scores of quality models."""

    quality: dict[str, QualityThresholds] = later({})
    """By the name of a model under `curation.quality`: thresholds over its scores. Another threshold scores nothing
    anew."""

    def rules(self, signals: Signals) -> Iterator[Rule]:
        for model, thresholds in self.quality.items():
            yield from thresholds.rules_of(model, signals)
