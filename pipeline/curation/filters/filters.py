"""The table of all quality filters: what a profile's `filters` may hold, and the order in which documents are judged.

Each filter is a class in a file of its own. A group with a key of its own is off until the profile names it:
`gopher_quality: {}` switches on the published values. Those of length, language, grade and quality
models have no group: their keys stand in `filters` itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self, TypeVar

from pipeline.base.settings import Settings
from pipeline.curation.filters.c4 import C4
from pipeline.curation.filters.filter import Filter, Rule, Signals
from pipeline.curation.filters.fineweb import FineWeb
from pipeline.curation.filters.gopher_quality import GopherQuality
from pipeline.curation.filters.gopher_repetition import GopherRepetition
from pipeline.curation.filters.grade import Grade
from pipeline.curation.filters.language import Language
from pipeline.curation.filters.length import Length
from pipeline.curation.filters.quality import Quality


class Filters(Grade, Language, Length, Quality):
    """What a document must fulfil to be kept."""

    gopher_repetition: GopherRepetition | None = None
    gopher_quality: GopherQuality | None = None
    c4: C4 | None = None
    fineweb: FineWeb | None = None

    def rules(self, signals: Signals) -> Iterator[Rule]:
        """The rules of all filters that are on, in FineWeb's order: the groups in that of their fields."""
        yield from Language.rules(self, signals)
        yield from Length.rules(self, signals)
        for group in (getattr(self, name) for name in type(self).model_fields):
            if isinstance(group, Filter):
                yield from group.rules(signals)
        yield from Grade.rules(self, signals)
        yield from Quality.rules(self, signals)

    def merged(self, other: Filters) -> Self:
        """These thresholds with those that `other` sets in their place, group by group."""
        return _merged(self, other)


_Group = TypeVar("_Group", bound=Settings)


def _merged(group: _Group, other: Settings) -> _Group:
    update = {}
    for name in other.model_fields_set:
        before, value = getattr(group, name), getattr(other, name)
        nested = isinstance(before, Settings) and isinstance(value, Settings)
        update[name] = _merged(before, value) if nested else value
    return group.model_copy(update=update)
