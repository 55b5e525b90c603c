"""The languages that are kept, and how sure the detector has to be of them (FineWeb, FineWeb-2: Penedo et al.)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.curation.filters.filter import Filter, Rule, Share, Signals
from pipeline.curation.text.languages import LanguageCode


class Language(Filter):
    """Languages."""

    language: tuple[LanguageCode, ...] | None = None
    """Languages to keep (ISO 639-1 or -3, as in `fr`, `fra`, `fra_Latn`)."""
    language_score: Share | None = None
    """Least confidence of the detector in the document's language (FineWeb: 0.65 for English). It is lid.176's, so that
    thresholds of FineWeb-2, which are GlotLID's, do not hold; docs/curation.md has some that were measured."""

    def rules(self, signals: Signals) -> Iterator[Rule]:
        if self.language is not None:
            yield Rule("language", ~np.isin(signals["lang"].astype(str), self.language), signals["lang"])
        if self.language_score is not None:
            detected, scores = signals["detected"], signals["language_score"]
            broken = (detected != signals["lang"]) | (scores < self.language_score)
            judged = [f"{lang} {score:.2f}" for lang, score in zip(detected, scores, strict=True)]
            yield Rule("language score", broken, np.array(judged, dtype=object))
