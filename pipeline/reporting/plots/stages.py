"""Names of the stages above a picture of what is read in order: each over its own stage, however short that is.

A stage as wide as its name has it right above. The name of a shorter one stands in a row further up, joined to the
middle of its stage by a thin line; no name lies on another, and no line runs through one
unless a dozen short stages leave no other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.reporting.plots.style import INK, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT: Final = 8
LETTER: Final = 0.0115
"""Width of a letter, of the axes' width."""
GAP: Final = 0.004
ROW_POINTS: Final = 11
TO_THE_LEFT: Final = 0.6
"""Names of stages from here on stand to the left of their line, so that they do not leave the picture."""


@dataclass(frozen=True)
class Label:
    """A name and where it stands; places are shares of the axes' width."""

    name: str
    middle: float
    """Of its stage, where its line stands."""
    start: float
    end: float
    row: int
    """0: right above its stage, without a line."""

    @property
    def to_the_left(self) -> bool:
        return self.row > 0 and self.end <= self.middle + GAP


def name_stages(axes: Axes, names: Sequence[str], ends: Sequence[float]) -> None:
    """Write each stage's name above it, where the x axis counts what is read and `ends` are the stages' last values."""
    for label in labels_of(names, ends):
        at = (label.middle * ends[-1], 1.0)
        above = axes.get_xaxis_transform()
        side = "center" if not label.row else "right" if label.to_the_left else "left"
        shift = {"center": 0, "right": -3, "left": 3}[side]
        words: Any = {"ha": side, "fontsize": FONT, "color": INK}
        place = (shift, 3 + ROW_POINTS * label.row)
        axes.annotate(label.name, at, place, xycoords=above, textcoords="offset points", **words)
        if label.row:
            line = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
            top = (0, 10 + ROW_POINTS * label.row)
            axes.annotate("", at, top, xycoords=above, textcoords="offset points", arrowprops=line)


def labels_of(names: Sequence[str], ends: Sequence[float]) -> list[Label]:
    """Where each name stands. Names near the right end stand to the left of their lines, so as not to leave the
    picture."""
    placed: list[Label] = []
    narrow: list[tuple[str, float, float]] = []
    for name, start, end in zip(names, [0.0, *ends[:-1]], ends, strict=True):
        middle, width = (start + end) / 2 / ends[-1], LETTER * len(name)
        if width <= (end - start) / ends[-1]:
            placed.append(Label(name, middle, middle - width / 2, middle + width / 2, 0))
        else:
            narrow.append((name, middle, width))
    # from the side that the names run to, so that the further a line is from it, the higher it goes
    left = [item for item in reversed(narrow) if item[1] < TO_THE_LEFT]
    for name, middle, width in left + [item for item in narrow if item[1] >= TO_THE_LEFT]:
        start, end = (middle, middle + width) if middle < TO_THE_LEFT else (middle - width, middle)
        rows = [Label(name, middle, start, end, row) for row in range(1, len(names) + 1)]
        free = [label for label in rows if not any(_on_each_other(label, other) for other in placed)]
        clear = [label for label in free if not any(_crossed(label, other) for other in placed)]
        placed.append((clear or free)[0])
    return placed


def _on_each_other(a: Label, b: Label) -> bool:
    return a.row == b.row and a.start < b.end + GAP and b.start < a.end + GAP


def _crossed(a: Label, b: Label) -> bool:
    """Whether the line of the higher one runs through the name of the lower one."""
    low, high = sorted((a, b), key=lambda item: item.row)
    return low.row < high.row and low.start - GAP < high.middle < low.end + GAP
