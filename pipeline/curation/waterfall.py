"""The waterfall of a corpus: what each step removed and what is left after it, with a few removed documents of each.

In: every document's row, size and reason, if it has one. Out: a `WaterfallStep` for every step, in the order in which
they apply: a document counts for the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.base.errors import CurationError
from pipeline.curation.filters.verdicts import Reason
from pipeline.curation.tables import iter_parts

FIRST_STEPS: Final = ("held out", "exact duplicate", "near duplicate", "contaminated")
"""Steps that are shown in any case; those of filters come after them, where they removed something."""
_EXAMPLES: Final = 3
_EXCERPT: Final = 200


@dataclass(frozen=True)
class Example:
    """A removed document: why, and how it begins."""

    row: int
    detail: str
    excerpt: str


@dataclass(frozen=True)
class WaterfallStep:
    """One step: what it removed and what is left after it."""

    step: str
    removed_documents: int
    removed_bytes: int
    documents: int
    bytes: int
    examples: list[Example] = field(default_factory=list)


def check_adds_up(steps: Sequence[WaterfallStep], documents: int, size: int) -> None:
    """Raise CurationError where steps do not lead from all there was to `documents` of `size` bytes."""
    before = [(steps[0].documents, steps[0].bytes), *((step.documents, step.bytes) for step in steps)]
    for (had, had_bytes), step in zip(before, steps, strict=False):
        removed = had - step.documents, had_bytes - step.bytes
        if removed != (step.removed_documents, step.removed_bytes):
            raise CurationError(
                f"step {step.step!r} removed {step.removed_documents:,} documents of {step.removed_bytes:,} bytes, but "
                f"{removed[0]:,} of {removed[1]:,} are gone after it: materialize the corpus again"
            )
    if (steps[-1].documents, steps[-1].bytes) != (documents, size):
        raise CurationError(
            f"{steps[-1].documents:,} documents of {steps[-1].bytes:,} bytes are left by the last step, but "
            f"{documents:,} of {size:,} are kept: materialize the corpus again"
        )


class Waterfall:
    """Counts documents by what removes them."""

    def __init__(self) -> None:
        self.documents = 0
        self._bytes = 0
        self._documents_by: Counter[str] = Counter()
        self._bytes_by: Counter[str] = Counter()
        self._examples: dict[str, list[tuple[int, str]]] = {}

    def add(self, row: int, size: int, reason: Reason | None) -> None:
        """Count one document of `size` bytes; without a reason it is kept."""
        self.documents += 1
        self._bytes += size
        if reason is not None:
            self._documents_by[reason.step] += 1
            self._bytes_by[reason.step] += size
            examples = self._examples.setdefault(reason.step, [])
            if len(examples) < _EXAMPLES:
                examples.append((row, reason.detail))

    def steps(self, documents: Path) -> list[WaterfallStep]:
        """The steps, the first with all there was; the examples' text is read from the folder of the documents."""
        examples = self._excerpts(documents)
        left, size = self.documents, self._bytes
        steps = [WaterfallStep("documents", 0, 0, left, size)]
        for step in [*FIRST_STEPS, *(name for name in self._documents_by if name not in FIRST_STEPS)]:
            removed, removed_bytes = self._documents_by[step], self._bytes_by[step]
            left, size = left - removed, size - removed_bytes
            steps.append(WaterfallStep(step, removed, removed_bytes, left, size, examples.get(step, [])))
        return steps

    def _excerpts(self, documents: Path) -> dict[str, list[Example]]:
        """The first removed documents of each step with the beginning of their text."""
        wanted = {row: (step, detail) for step, rows in self._examples.items() for row, detail in rows}
        examples: dict[str, list[Example]] = {step: [] for step in self._examples}
        start = 0
        for batch in iter_parts(documents, ("text",)) if wanted else ():
            for row in sorted(row for row in wanted if start <= row < start + batch.num_rows):
                step, detail = wanted[row]
                examples[step].append(Example(row, detail, batch.column("text")[row - start].as_py()[:_EXCERPT]))
            start += batch.num_rows
            if start > max(wanted):
                break
        return examples
