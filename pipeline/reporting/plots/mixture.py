"""What a model reads, in order, divided by corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.base.numbers import short
from pipeline.reporting.plots.style import COLORS, INK, figure_png, new_figure

_BELOW: Final[dict[str, Any]] = {"textcoords": "offset points", "fontsize": 8, "va": "top", "color": INK}
_CENTERED: Final[dict[str, Any]] = {"ha": "center", "va": "center"}


def mixture_png(stages: Sequence[tuple[str, Mapping[str, float]]], *, unit: str = "tokens") -> bytes:
    """What the model reads, in order: a bar a stage, as wide as its tokens, divided by source.

    Args:
        stages: label (such as "epoch 1 · mixture") and the amount of each source.
    """
    figure, axes = new_figure(7.2, 3.0)
    sources = sorted({source for _, amounts in stages for source in amounts})
    start = 0.0
    ticks, names = [], []
    for label, amounts in stages:
        total = sum(amounts.values())
        bottom = 0.0
        for source, color in zip(sources, COLORS * 3, strict=False):
            share = amounts.get(source, 0.0) / total if total else 0.0
            axes.bar(
                start, share, width=total, bottom=bottom, align="edge", color=color, edgecolor="white", linewidth=1
            )
            if share > 0.07 and total > 0.06 * sum(sum(a.values()) for _, a in stages):
                axes.text(start + total / 2, bottom + share / 2, f"{share:.0%}", **_CENTERED, color="white", fontsize=8)
            bottom += share
        ticks.append(start + total / 2)
        names.append(label)
        start += total
    axes.set_xlim(0, start or 1)
    axes.set_ylim(0, 1)
    axes.set_xticks(ticks, [""] * len(ticks))
    lowest = 0
    for number, (tick, name) in enumerate(zip(ticks, names, strict=True)):
        crowded = number > 0 and (tick - ticks[number - 1]) < 0.3 * start  # under the label before it
        lowest = (lowest + 1) % 3 if crowded else 0
        side = "left" if tick < 0.1 * start else "right" if tick > 0.9 * start else "center"
        axes.annotate(name, (tick, 0), (0, -8 - 12 * lowest), **_BELOW, ha=side, xycoords=axes.get_xaxis_transform())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_title(f"{short(start)} {unit} in the order they are read", fontsize=9, color=INK, loc="left")
    axes.grid(visible=False)
    handles = [_swatch(color) for _, color in zip(sources, COLORS * 3, strict=False)]
    axes.legend(handles, sources, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure_png(figure)


def _swatch(color: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=color)
