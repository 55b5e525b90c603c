"""Thresholds over the scores of a quality model (`pipeline.curation.quality`), which are stored beside the documents.

Two scales. A score is what the model says: a probability that the document is like the good ones, or the score that it
learned to predict. A quantile is the share of the corpus's bytes in documents with a lower score, so that
`least_quantile: 0.3` leaves out about 30% of the text, whatever the scores are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.base.settings import Settings
from pipeline.curation.filters.filter import Rule, Share, Signals


class QualityThresholds(Settings):
    """What a model must say of a document. `{}` has the documents scored and leaves none out."""

    least_score: float | None = None
    most_score: float | None = None
    least_quantile: Share | None = None
    """Share of the corpus's bytes, those of the lowest scores, that goes."""
    most_quantile: Share | None = None

    def rules_of(self, model: str, signals: Signals) -> Iterator[Rule]:
        """The rules that are on, over the scores of `model`; what they judge shows score and quantile."""
        scores, quantiles = signals[score_column(model)], signals[quantile_column(model)]
        judged = [f"{score:.3f}, quantile {place:.3f}" for score, place in zip(scores, quantiles, strict=True)]
        seen, called = np.array(judged, dtype=object), f"quality {model}"
        if self.least_score is not None:
            yield Rule(f"{called}: score too low", scores < self.least_score, seen)
        if self.most_score is not None:
            yield Rule(f"{called}: score too high", scores > self.most_score, seen)
        if self.least_quantile is not None:
            yield Rule(f"{called}: quantile too low", quantiles < self.least_quantile, seen)
        if self.most_quantile is not None:
            yield Rule(f"{called}: quantile too high", quantiles > self.most_quantile, seen)


def score_column(model: str) -> str:
    """The signal with a model's scores."""
    return f"quality.{model}"


def quantile_column(model: str) -> str:
    """The signal with the quantiles of a model's scores."""
    return f"quality.{model}.quantile"
