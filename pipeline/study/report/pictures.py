"""The study's pictures, from runs and effects: a forest of effects, curves, and the frontier of quality and size."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pipeline.reporting.plots.labels import name_points
from pipeline.reporting.plots.style import COLORS, INK, SOFT, figure_png, new_figure, new_panels
from pipeline.study.results.effects import Effect
from pipeline.study.results.intervals import Interval
from pipeline.study.results.results import Results
from pipeline.study.results.run_result import FINISHED, POOLED
from pipeline.study.results.runs_table import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKS: Final = {"helps": COLORS[2], "hurts": COLORS[4]}
WIDEST: Final = 0.6
"""Bits per byte that a forest shows to each side; what lies outside ends at the edge in an arrow."""

SAME_TEXT: Final = 0.9
"""Arms trained on at least this share of as much text are of one colour."""
FEWEST_OF_A_PANEL: Final = 3
ROW_INCHES: Final = 0.21
OTHERS: Final = "others"


def forest_png(effects: Sequence[Effect]) -> bytes:
    """Each arm's difference at the end with its 95% interval, open for a single seed: left of zero is better. A panel a
    reference, where several arms have it."""
    groups: dict[str, list[tuple[Effect, Interval]]] = {}
    for item in effects:
        if item.pooled.at_end is not None:
            groups.setdefault(item.against, []).append((item, item.pooled.at_end))
    lone = [name for name, rows in groups.items() if len(rows) < FEWEST_OF_A_PANEL]
    if len(lone) > 1:
        groups[OTHERS] = [row for name in lone for row in groups.pop(name)]
    # a panel's title takes about two rows, and as much the axis under the last
    figure, panels = new_panels(7.6, [max(0.8, ROW_INCHES * (len(rows) + 2)) for rows in groups.values()])
    for axes, (against, rows) in zip(panels, groups.items(), strict=True):
        _forest_panel(axes, rows, against)
    panels[-1].set_xlabel("bits per byte at the end, arm minus reference (less is better)")
    return figure_png(figure)


def _forest_panel(axes: Axes, rows: Sequence[tuple[Effect, Interval]], against: str) -> None:
    labels = []
    for place, (item, interval) in enumerate(rows):
        color = MARKS.get(item.verdict.partition(",")[0], SOFT)
        low, high = max(interval.low, -WIDEST), min(interval.high, WIDEST)
        if interval.values > 1:  # a single seed has no interval: an open mark alone
            axes.plot([low, high], [place, place], color=color, linewidth=2.2, solid_capstyle="butt")
            for end, edge, arrow in ((interval.low, -WIDEST, "<"), (interval.high, WIDEST, ">")):
                if abs(end) > WIDEST and end * edge > 0:
                    axes.plot([edge], [place], marker=arrow, color=color, markersize=5)
        fill = "white" if interval.values == 1 else color
        mean = max(-WIDEST, min(interval.mean, WIDEST))
        axes.plot([mean], [place], marker="o", color=color, markerfacecolor=fill, markersize=4.5)
        other = f" - {item.against}" if against == OTHERS else ""
        labels.append(f"{item.arm}{other}  ({item.runs_compared})")
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_title(f"against {against} (pairs, or runs/runs)", fontsize=8, color=INK, loc="left")
    axes.set_yticks(list(range(len(rows))), labels, fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def curves_png(results: Results, shown: Sequence[str]) -> bytes:
    """Held-out bits per byte on the way, the mean over seeds, for the arms of `shown` that have run."""
    figure, axes = new_figure(7.2, 3.8)
    for number, name in enumerate(shown):
        curves = [run.curve for run in results.by_arm[name] if run.state == FINISHED]
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


def frontier_png(results: Results) -> bytes:
    """Bits per byte at the end against parameters, a point an arm, a colour for arms that were trained on about as much
    text; a line joins those of a colour that no smaller arm beats. Those have their names, and others where there is
    room."""
    figure, axes = new_figure(7.6, 5.2)
    groups: list[tuple[float, list[tuple[float, float, str]]]] = []
    for name, group in sorted(results.by_arm.items(), key=lambda item: -_text(item[1][0])):
        ends = [run.scores[POOLED] for run in group if run.state == FINISHED]
        text = _text(group[0])
        if not ends:
            continue
        if not groups or text < SAME_TEXT * groups[-1][0]:
            groups.append((text, []))
        groups[-1][1].append((group[0].parameters / 1e6, statistics.fmean(ends), name))
    shown = [item for item in groups if len(item[1]) >= FEWEST_OF_A_PANEL] or groups[:1]
    named: list[tuple[float, float, str]] = []
    behind: list[tuple[float, float, str]] = []
    corners: list[list[tuple[float, float]]] = []
    for number, (text, points) in enumerate(shown):
        color = COLORS[number % len(COLORS)]
        best, line = math.inf, []
        for point in sorted(points):
            if point[1] < best:
                best = point[1]
                line.append(point)
        others = [point for point in points if point not in line]
        axes.step([x for x, _, _ in line], [y for _, y, _ in line], where="post", color=color, linewidth=1.2, alpha=0.4)
        axes.plot([], [], marker="o", color=color, linestyle="none", label=f"{text / 1e6:.1f} MB of text")
        for x, y, name in [*line, *others]:
            fill = color if (x, y, name) in line else "white"
            axes.plot([x], [y], marker="o", markersize=4.5, color=color, markerfacecolor=fill, linestyle="none")
        named += line
        behind += sorted(others, key=lambda point: -abs(math.log(point[0] / line[0][0])))
        corners.append([corner for a, b in itertools.pairwise(line) for corner in (a[:2], (b[0], a[1]), b[:2])])
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}")
    axes.tick_params(axis="x", which="minor", labelsize=7, colors=INK)
    axes.set_xlabel("million parameters, embeddings included")
    axes.set_ylabel("held-out bits per byte at the end")
    axes.legend(fontsize=8, frameon=False)
    name_points(axes, [*named, *behind], [point[:2] for point in [*named, *behind]], corners)
    return figure_png(figure)


def _text(run: Run) -> float:
    """Bytes of text that the run was trained on."""
    return run.tokens * run.bytes_per_token


def pictures(results: Results, effects: Sequence[Effect], shown: Sequence[str]) -> dict[str, bytes]:
    """All of them by name; none of a kind for which nothing has run."""
    drawn: dict[str, Any] = {}
    if any(item.pooled.at_end is not None for item in effects):
        drawn["forest"] = forest_png(effects)
    if results.runs:
        drawn |= {"curves": curves_png(results, shown), "frontier": frontier_png(results)}
    return drawn
