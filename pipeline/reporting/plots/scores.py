"""A model's scores beside what they compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reporting.plots.style import COLORS, SOFT, figure_png, new_figure


def scores_png(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Scores with 95% intervals beside what they compare with.

    Args:
        rows: `{"name", "value", "stderr", "comparisons": [{"name", "kind", "value"}]}`, all in one unit.
    """
    figure, axes = new_figure(7.2, max(1.7, 0.42 * len(rows) + 0.9))
    styles = {
        "chance": ("|", SOFT, "guessing"),
        "compressor": ("x", COLORS[1], "compressors"),
        "earlier": ("D", COLORS[3], "earlier models"),
        "published": ("s", COLORS[2], "published"),
    }
    used = set()
    for row, item in enumerate(rows):
        for comparison in item.get("comparisons", []):
            marker, color, _ = styles[comparison["kind"]]
            used.add(comparison["kind"])
            axes.plot(comparison["value"], row, marker, color=color, markersize=6, markeredgewidth=1.6, alpha=0.85)
        error = 1.96 * item["stderr"] if item.get("stderr") is not None else None
        axes.errorbar(item["value"], row, xerr=error, fmt="o", color=COLORS[0], markersize=6, capsize=3, zorder=5)
        axes.annotate(
            f"{item['value']:.3f}", (item["value"], row), (0, 7), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set_yticks(range(len(rows)), [str(item["name"]) for item in rows], fontsize=8.5)
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.margins(x=0.08)
    handles = [_marker("o", COLORS[0])] + [_marker(m, c) for k, (m, c, _) in styles.items() if k in used]
    names = ["this model, 95%"] + [label for kind, (_, _, label) in styles.items() if kind in used]
    axes.legend(handles, names, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure_png(figure)


def _marker(marker: str, color: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], marker=marker, color=color, linestyle="", markersize=6, markeredgewidth=1.6)
