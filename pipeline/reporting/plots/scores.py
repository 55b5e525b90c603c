"""A model's scores beside what they compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.reporting.plots.style import COLORS, INK, SOFT, figure_png, new_figure

KIND_COLORS: Final = {
    "chance": INK,
    "compressor": COLORS[1],
    "published": COLORS[2],
    "earlier": COLORS[3],
}
"""By kind of comparison; any other kind has the grey of what is beside the point."""
MARKS: Final = ("x", "s", "^", "+", "D", "v", "1", "P", "*", "2", "<", ">")
"""Each name of a kind has one of its own."""
AFTER_TRAINING: Final = " after "
"""What has read training text has the mark of what has not, and a darker colour."""
DARKER: Final = "#7c2d12"


def scores_png(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Scores with 95% intervals beside what they compare with.

    Args:
        rows: `{"name", "value", "stderr", "comparisons": [{"name", "kind", "value"}]}`, all in one unit. Comparisons of
            any kind are drawn, each name with a mark of its own in the colour of its kind.
    """
    marks = marks_of(rows)
    figure, axes = new_figure(7.6, max(1.7, 0.42 * len(rows) + 0.9, 0.19 * (len(marks) + 1) + 0.5))
    for row, item in enumerate(rows):
        for comparison in item.get("comparisons", []):
            marker, color = marks[comparison["name"]]
            size = 11 if marker == "|" else 6
            axes.plot(comparison["value"], row, marker, color=color, markersize=size, markeredgewidth=1.5, alpha=0.85)
        error = 1.96 * item["stderr"] if item.get("stderr") is not None else None
        axes.errorbar(item["value"], row, xerr=error, fmt="o", color=COLORS[0], markersize=6, capsize=3, zorder=5)
        axes.annotate(
            f"{item['value']:.3f}", (item["value"], row), (0, 7), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set_yticks(range(len(rows)), [str(item["name"]) for item in rows], fontsize=8.5)
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.margins(x=0.08)
    handles = [_marker("o", COLORS[0]), *(_marker(*mark) for mark in marks.values())]
    names = ["this model, 95%", *marks]
    axes.legend(handles, names, fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure_png(figure)


def marks_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Mark and colour of each thing that scores are compared with, in the order of first appearance by kind."""
    kind_of = {item["name"]: item["kind"] for row in rows for item in row.get("comparisons", [])}
    kinds = [*KIND_COLORS, *sorted(set(kind_of.values()) - KIND_COLORS.keys())]
    marks = {}
    for kind in kinds:
        names = [name for name, of_kind in kind_of.items() if of_kind == kind]
        plain = list(dict.fromkeys(name.partition(AFTER_TRAINING)[0] for name in names))
        for name in names:
            alone, after, _ = name.partition(AFTER_TRAINING)
            marker = "|" if kind == "chance" else MARKS[plain.index(alone) % len(MARKS)]
            marks[name] = marker, DARKER if after and kind == "compressor" else KIND_COLORS.get(kind, SOFT)
    return marks


def _marker(marker: str, color: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], marker=marker, color=color, linestyle="", markersize=6, markeredgewidth=1.6)
