"""Thresholds over the stored signals of a document; unset ones do not filter."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from pipeline.settings import Settings

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Filters(Settings):
    """What a document must fulfil to be kept. None leaves a rule out."""

    minimum_words: int | None = Field(None, ge=0)
    maximum_words: int | None = Field(None, ge=1)
    language: list[str] | None = None
    """Languages to keep (ISO 639-1 or -3)."""
    language_score: Share | None = None
    """Least confidence of the language detector in the document's language (FineWeb: 0.65)."""

    def merged(self, other: Filters) -> Self:
        """These thresholds with those that `other` sets in their place."""
        return self.model_copy(update={name: getattr(other, name) for name in other.model_fields_set})
