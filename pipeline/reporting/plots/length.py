"""A model's loss by position, within and past the context it was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline.evaluation.suites.length import Curve
from pipeline.reporting.plots.style import COLORS, SOFT, figure_png, new_figure

SCALINGS: Final = {"linear": COLORS[3], "ntk": COLORS[1], "yarn": COLORS[2]}
"""The colour of each way to stretch RoPE; a model as it was trained has the first one."""


def length_png(curves: Sequence[Curve], trained_context: int) -> bytes:
    """Loss by position at several lengths."""
    figure, axes = new_figure(7.2, 3.2)
    factors = sorted({curve.factor for curve in curves})
    lines = ("-", "--", "-.", ":")
    for curve in curves:
        line = lines[factors.index(curve.factor) % len(lines)]
        axes.plot(
            curve.positions,
            curve.losses,
            line,
            color=SCALINGS.get(curve.scaling.rpartition(" ")[2], COLORS[0]),
            label=curve.task,
        )
    axes.axvline(trained_context, color=SOFT, linewidth=1)
    axes.text(trained_context, 1.0, " trained", transform=axes.get_xaxis_transform(), fontsize=8, color=SOFT, va="top")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("position in tokens")
    axes.set_ylabel("nats a token")
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure_png(figure)
