"""Thresholds over the stored signals of a document, with the published values as defaults; None leaves a rule out.

Sources: Gopher (Rae et al. 2021, table A1 and section A.1.1), C4 (Raffel et al. 2020), FineWeb and FineWeb-2 (Penedo et
al. 2024, 2025). A group is off until the profile names it: `gopher_quality: {}` switches on the published values.
"""

from __future__ import annotations

from typing import Annotated, Self, TypeVar

from pydantic import Field

from pipeline.base.settings import Settings

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Ratio = Annotated[float, Field(ge=0.0)]


class GopherQuality(Settings):
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


class GopherRepetition(Settings):
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


class C4(Settings):
    """C4's rules for whole documents; its line rules are `normalizing.c4_lines`."""

    sentences: int | None = Field(5, ge=0)
    lorem_or_bracket: bool = True
    """Drop documents with "lorem ipsum" or a curly bracket."""


class FineWeb(Settings):
    """FineWeb's own rules."""

    punctuated_lines: Share | None = 0.12
    """Least share of lines that end in punctuation."""
    short_lines: Share | None = 0.67
    """Greatest share of lines of at most 30 characters."""
    duplicate_line_characters: Share | None = 0.01
    newlines_per_word: Ratio | None = 0.3


class Filters(Settings):
    """What a document must fulfil to be kept."""

    minimum_words: int | None = Field(None, ge=0)
    maximum_words: int | None = Field(None, ge=1)
    language: tuple[str, ...] | None = None
    """Languages to keep (ISO 639-1 or -3)."""
    language_score: Share | None = None
    """Least confidence of the detector in the document's language (FineWeb: 0.65; FineWeb-2: fr 0.824, sw 0.30)."""
    gopher_repetition: GopherRepetition | None = None
    gopher_quality: GopherQuality | None = None
    c4: C4 | None = None
    fineweb: FineWeb | None = None
    minimum_grade: float | None = None
    maximum_grade: float | None = None
    """Flesch-Kincaid grade; English only."""

    def merged(self, other: Filters) -> Self:
        """These thresholds with those that `other` sets in their place, group by group."""
        return _merged(self, other)


_Group = TypeVar("_Group", bound=Settings)


def _merged(mine: _Group, other: Settings) -> _Group:
    update = {}
    for name in other.model_fields_set:
        before, value = getattr(mine, name), getattr(other, name)
        nested = isinstance(before, Settings) and isinstance(value, Settings)
        update[name] = _merged(before, value) if nested else value
    return mine.model_copy(update=update)
