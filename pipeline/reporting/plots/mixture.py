"""What a model reads, in order, divided by corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.base.numbers import short
from pipeline.reporting.plots.stages import name_stages
from pipeline.reporting.plots.style import corpus_colors, figure_png, new_figure

LEAST_SHARE: Final = 0.07
"""Of a stage that has its percentage written into it, and of all tokens that such a stage has."""
_CENTERED: Final[dict[str, Any]] = {"ha": "center", "va": "center"}


def mixture_png(
    stages: Sequence[tuple[str, Mapping[str, float]]], *, corpora: Sequence[str] = (), unit: str = "tokens"
) -> bytes:
    """What the model reads, in order: a bar a stage, as wide as its tokens, divided by source.

    Args:
        stages: label (such as "epoch 1 · mixture") and the amount of each source.
        corpora: all that the profile has.
    """
    figure, axes = new_figure(7.2, 3.0)
    sources = sorted({source for _, amounts in stages for source in amounts})
    colors = corpus_colors(sources, corpora)
    everything = sum(sum(amounts.values()) for _, amounts in stages)
    start = 0.0
    ends = []
    for _, amounts in stages:
        total = sum(amounts.values())
        bottom = 0.0
        for source in sources:
            share = amounts.get(source, 0.0) / total if total else 0.0
            bar: Any = {
                "bottom": bottom,
                "align": "edge",
                "color": colors[source],
                "edgecolor": "white",
                "linewidth": 1,
            }
            axes.bar(start, share, width=total, **bar)
            if share > LEAST_SHARE and total > LEAST_SHARE * everything:
                axes.text(start + total / 2, bottom + share / 2, f"{share:.0%}", **_CENTERED, color="white", fontsize=8)
            bottom += share
        start += total
        ends.append(start)
    axes.set_xlim(0, start or 1)
    axes.set_ylim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: short(value))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel(f"{unit} in the order they are read, {short(start)} in all")
    axes.grid(visible=False)
    name_stages(axes, [label for label, _ in stages], ends)
    handles = [_swatch(colors[source]) for source in sources]
    axes.legend(handles, sources, fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure_png(figure)


def _swatch(color: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=color)
