"""Does what a recipe is worth grow or shrink with the model's size?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from pipeline.study.questions.base import QuestionSettings
from pipeline.study.results.intervals import shown
from pipeline.study.results.results import Results


class BySize(QuestionSettings):
    """What a recipe is worth at each of several sizes."""

    kind: Literal["by_size"] = "by_size"
    sizes: tuple[tuple[str, str], ...] = Field(min_length=2)
    """The arm that has the recipe and the arm of its size that it is set beside; the first names the recipe."""

    def arms(self) -> Iterator[tuple[str, str]]:
        yield from (("sizes", name) for pair in self.sizes for name in pair)

    def answer(self, results: Results) -> str | None:
        """The gain at each size of which both arms have run; none where there are not two such sizes."""
        said = []
        for arm, reference in self.sizes:
            runs, others = results.finished(arm), results.finished(reference)
            if runs and others:
                size = f"{next(iter(runs.values())).parameters / 1e6:.2f}M parameters"
                gain = shown(results.end_difference(arm, reference))
                said.append(f"{gain} at {size} ({len(runs)} runs against {len(others)})")
        return f"What `{self.sizes[0][0]}` is worth by size: {'; '.join(said)}." if len(said) > 1 else None
