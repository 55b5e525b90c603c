"""The study's pictures, from runs and effects: a forest of effects, curves, and the frontier of quality and size."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, Final

from pipeline.reporting.plots import COLORS, GRID, INK, SOFT, figure_png, new_figure
from pipeline.study.effects import Effect, by_arm
from pipeline.study.settings import POOLED
from pipeline.study.tables import FINISHED, Run

MARKS: Final = {"helps": COLORS[2], "hurts": COLORS[4]}
LABEL_HEIGHT: Final = 0.03
"""Of the picture: names nearer than this lie on each other, as do those of arms whose sizes differ by a tenth."""
LABEL_WIDTH: Final = 0.1
WIDEST: Final = 0.6
"""Bits per byte that a forest shows to each side; what lies outside is drawn at the edge."""

MOST_OF_THE_TEXT: Final = 0.9


def forest_png(effects: Sequence[Effect]) -> bytes:
    """Each arm's difference at the end with its 95% interval, open for a single seed: left of zero is better."""
    rows = [(item, item.pooled.at_end) for item in effects if item.pooled.at_end is not None]
    figure, axes = new_figure(7.6, max(1.8, 0.27 * len(rows) + 0.9))
    for place, (item, interval) in enumerate(rows):
        color = MARKS.get(item.verdict, SOFT)
        low, high = max(interval.low, -WIDEST), min(interval.high, WIDEST)
        if interval.values > 1:  # a single seed has no interval: an open mark alone
            axes.plot([low, high], [place, place], color=color, linewidth=2.2, solid_capstyle="butt")
        fill = "white" if interval.values == 1 else color
        mean = max(-WIDEST, min(interval.mean, WIDEST))
        axes.plot([mean], [place], marker="o", color=color, markerfacecolor=fill, markersize=4.5)
    axes.axvline(0, color=INK, linewidth=1)
    labels = [f"{item.arm}  (vs {item.against}, {item.runs_compared} seeds)" for item, _ in rows]
    axes.set_yticks(list(range(len(rows))), labels, fontsize=7.5)
    axes.invert_yaxis()
    axes.set_xlabel("bits per byte at the end, arm minus reference (less is better)")
    axes.grid(axis="y", visible=False)
    return figure_png(figure)


def curves_png(runs: Sequence[Run], shown: Sequence[str]) -> bytes:
    """Held-out bits per byte on the way, the mean over seeds, for the arms of `shown` that have run."""
    figure, axes = new_figure(7.2, 3.8)
    arms = by_arm(runs)
    for number, name in enumerate(shown):
        curves = [run.curve for run in arms[name] if run.state == FINISHED]
        if not curves:
            continue
        points: dict[int, list[float]] = {}
        for tokens, value in (point for curve in curves for point in curve):
            points.setdefault(tokens, []).append(value)
        x = [tokens / 1e6 for tokens in sorted(points)]
        y = [statistics.fmean(points[tokens]) for tokens in sorted(points)]
        color = COLORS[number % len(COLORS)]
        axes.plot(x, y, color=color, linewidth=1.6, marker="o", markersize=3, label=name)
    axes.set_xlabel("million tokens")
    axes.set_ylabel("held-out bits per byte")
    axes.legend(fontsize=8, frameon=False, ncols=2)
    return figure_png(figure)


def frontier_png(runs: Sequence[Run]) -> bytes:
    """Bits per byte at the end against parameters, a point an arm that trained on about as much text as any; the line
    joins those that no smaller arm beats. Of arms that lie on each other one has its name."""
    figure, axes = new_figure(7.2, 4.2)
    points: list[tuple[float, float, str]] = []
    most = max((_text(run) for run in runs), default=0.0)
    for name, group in by_arm(runs).items():
        ends = [run.scores[POOLED] for run in group if run.state == FINISHED and _text(run) > MOST_OF_THE_TEXT * most]
        if ends:
            points.append((group[0].parameters / 1e6, statistics.fmean(ends), name))
    best, line, others = math.inf, [], []
    for x, y, name in sorted(points):
        if y < best:
            best = y
            line.append((x, y, name))
        else:
            others.append((x, y, name))
    labelled: list[tuple[float, float]] = []
    heights = [y for _, y, _ in points]
    apart = LABEL_HEIGHT * (max(heights, default=0.0) - min(heights, default=0.0))
    for x, y, name in [*line, *others]:
        color = COLORS[0] if (x, y, name) in line else SOFT
        axes.plot([x], [y], marker="o", markersize=4.5, color=color, linestyle="none")
        if all(abs(x - a) > LABEL_WIDTH * max(x, a) or abs(y - b) > apart for a, b in labelled):
            labelled.append((x, y))
            axes.annotate(name, (x, y), fontsize=6, color=INK, xytext=(4, -2), textcoords="offset points")
    axes.step([x for x, _, _ in line], [y for _, y, _ in line], where="post", color=GRID, linewidth=1.5, zorder=0)
    axes.set_xlabel("million parameters, embeddings included")
    axes.set_ylabel("held-out bits per byte at the end")
    return figure_png(figure)


def _text(run: Run) -> float:
    """Bytes of text that the run was trained on."""
    return run.tokens * run.bytes_per_token


def pictures(runs: Sequence[Run], effects: Sequence[Effect], shown: Sequence[str]) -> dict[str, bytes]:
    """All of them by name; none of a kind for which nothing has run."""
    drawn: dict[str, Any] = {}
    if any(item.pooled.at_end is not None for item in effects):
        drawn["forest"] = forest_png(effects)
    if runs:
        drawn |= {"curves": curves_png(runs, shown), "frontier": frontier_png(runs)}
    return drawn
