"""What each step of curation leaves of a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.base.numbers import short
from pipeline.reporting.plots.style import COLORS, INK, figure_png, new_figure

GONE: Final = "#fca5a5"


def waterfall_png(steps: Sequence[tuple[str, float]], *, unit: str = "documents") -> bytes:
    """What each step of curation leaves: (label, amount left), the first being what came in."""
    figure, axes = new_figure(7.2, max(1.6, 0.34 * len(steps) + 0.7))
    labels = [label for label, _ in steps]
    left = [amount for _, amount in steps]
    before = [left[0] if left else 0, *left[:-1]]
    rows = range(len(steps))
    axes.barh(rows, left, color=COLORS[0], height=0.66)
    axes.barh(rows, [b - a for a, b in zip(left, before, strict=True)], left=left, color=GONE, height=0.66)
    for row, amount in zip(rows, left, strict=True):
        gone = before[row] - amount
        text = f" {short(amount)}" + (f"  −{short(gone)}" if gone else "")
        axes.text(before[row], row, text, va="center", fontsize=8, color=INK)
    axes.set_yticks(list(rows), labels, fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, (max(left) if left else 1) * 1.22)
    axes.set_xlabel(unit)
    axes.xaxis.set_major_formatter(lambda value, _: short(value))
    axes.grid(axis="y", visible=False)
    return figure_png(figure)
