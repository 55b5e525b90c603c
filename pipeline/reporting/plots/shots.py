"""A model's scores over the number of examples before each question."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation.suites.few_shot import ShotCurve
from pipeline.reporting.plots.style import COLORS, figure_png, new_figure


def shots_png(curves: Sequence[ShotCurve]) -> bytes:
    """Curves of one unit with 95% intervals, at equal distances whatever the numbers of examples are."""
    figure, axes = new_figure(7.2, 3.0)
    shots = sorted({count for curve in curves for count in curve.shots})
    for number, curve in enumerate(curves):
        axes.errorbar(
            [shots.index(count) for count in curve.shots],
            curve.values,
            yerr=[1.96 * (stderr or 0.0) for stderr in curve.stderrs],
            fmt="o-",
            color=COLORS[number % len(COLORS)],
            markersize=4,
            capsize=3,
            label=f"{curve.task} {curve.metric}",
        )
    axes.set_xticks(range(len(shots)), [str(count) for count in shots])
    axes.set_xlabel("examples before each question")
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure_png(figure)
