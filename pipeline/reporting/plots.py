"""Pictures of what a run did: small PNGs for the UI and the report, and a sparkline that fits inline.

In: plain numbers. Out: PNG bytes of some tens of kB, the same for the same numbers (no time stamps, no fonts but the
one matplotlib brings), or an SVG of under 1,000 characters, which is what Dagster's UI renders without a click.
Drawn with matplotlib's objects alone: `pyplot` keeps global state and is not safe in Dagster's threads.
"""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipeline.evaluation.suites.length import Curve

INK: Final = "#1f2937"
SOFT: Final = "#9ca3af"
GRID: Final = "#e5e7eb"
COLORS: Final = ("#2563eb", "#ea580c", "#059669", "#9333ea", "#dc2626", "#0891b2", "#ca8a04", "#db2777")
GONE: Final = "#fca5a5"
DPI: Final = 110
SPARKLINE_LIMIT: Final = 1000


def markdown_image(png: bytes, alt: str) -> str:
    """A picture inside markdown, as a data URI."""
    return f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"


def sparkline_svg(values: Sequence[float], *, width: int = 260, height: int = 48, color: str = COLORS[0]) -> str:
    """The values as one line, first left and last right, in under 1,000 characters: more points than fit are
    thinned out evenly. Empty for no values.
    """
    if not values:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    for most in range(min(len(values), 80), 1, -8):
        chosen = _thin(values, most)
        points = " ".join(
            f"{2 + (width - 4) * i / max(len(chosen) - 1, 1):.0f},{2 + (height - 4) * (high - v) / span:.0f}"
            for i, v in enumerate(chosen)
        )
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
            f'<polyline fill="none" stroke="{color}" stroke-width="1.5" points="{points}"/></svg>'
        )
        if len(svg) < SPARKLINE_LIMIT:
            return svg
    return ""


def sparkline_markdown(values: Sequence[float], alt: str) -> str:
    """The sparkline inside markdown, still under 1,000 characters; empty for no values."""
    for most in (60, 50, 40, 30, 20):
        svg = sparkline_svg(_thin(values, most))
        text = f"![{alt}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})" if svg else ""
        if len(text) < SPARKLINE_LIMIT:
            return text
    return ""


def loss_curve_png(metrics: Sequence[Mapping[str, Any]], validation: Mapping[str, float] | None = None) -> bytes:
    """Training loss (nats a token) and learning rate over tokens, from the lines of `metrics.jsonl`.

    `validation` holds the final held-out loss by corpus, drawn as dashes at the right.
    """
    rows = [row for row in metrics if row.get("loss") is not None]
    figure, axes = new_figure(7.2, 3.2)
    tokens = [row["tokens"] / 1e6 for row in rows]
    losses = [row["loss"] for row in rows]
    axes.plot(tokens, losses, color=COLORS[0], alpha=0.35, linewidth=1)
    axes.plot(tokens, _smooth(losses), color=COLORS[0], linewidth=1.8, label="training loss")
    for (name, loss), color in zip(sorted((validation or {}).items()), COLORS[1:] * 3, strict=False):
        axes.axhline(loss, xmin=0.9, color=color, linewidth=2, label=f"held-out {name}")
    _starts(axes, rows)
    axes.set_xlabel("million tokens")
    axes.set_ylabel("nats a token")
    rates = [row["lr"] for row in rows if row.get("lr") is not None]
    if rows and len(rates) == len(rows):
        right = axes.twinx()
        right.plot(tokens, rates, color=SOFT, linewidth=1, linestyle=":", label="learning rate")
        right.set_ylabel("learning rate", color=SOFT)
        right.tick_params(colors=SOFT, labelsize=8)
        right.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        right.yaxis.get_offset_text().set_color(SOFT)
        for side in ("top", "left", "bottom"):
            right.spines[side].set_visible(False)
        right.spines["right"].set_color(GRID)
    _legend(axes)
    return figure_png(figure)


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


def tokenizer_png(rows: Sequence[Mapping[str, Any]], *, chosen: str | None = None) -> bytes:
    """Bytes a token of each tokenizer, per language or corpus.

    Args:
        rows: `{"name": …, "bytes_per_token": {"en": 3.9, …}}`, one a tokenizer.
        chosen: the tokenizer to mark.
    """
    figure, axes = new_figure(7.2, 3.0)
    groups = sorted({group for row in rows for group in row["bytes_per_token"]})
    width = 0.8 / max(len(rows), 1)
    for number, (row, color) in enumerate(zip(rows, COLORS * 3, strict=False)):
        values = [row["bytes_per_token"].get(group, 0.0) for group in groups]
        places = [i + (number - (len(rows) - 1) / 2) * width for i in range(len(groups))]
        name = f"{row['name']} (chosen)" if row["name"] == chosen else str(row["name"])
        bars = axes.bar(places, values, width=width * 0.92, color=color, label=name)
        if len(rows) * len(groups) <= 24:
            axes.bar_label(bars, fmt="%.1f", fontsize=7, color=INK, padding=1)
    axes.set_xticks(range(len(groups)), groups, fontsize=8)
    axes.set_ylabel("bytes a token")
    axes.grid(axis="x", visible=False)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4)
    return figure_png(figure)


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


def length_png(curves: Sequence[Curve], trained_context: int) -> bytes:
    """Loss by position at several lengths."""
    figure, axes = new_figure(7.2, 3.2)
    scalings = sorted({curve.scaling for curve in curves}, key=lambda name: (len(name), name))
    colors = dict(zip(scalings, COLORS * 3, strict=False))
    factors = sorted({curve.factor for curve in curves})
    lines = ("-", "--", "-.", ":")
    for curve in curves:
        line = lines[factors.index(curve.factor) % len(lines)]
        axes.plot(curve.positions, curve.losses, line, color=colors[curve.scaling], label=curve.task)
    axes.axvline(trained_context, color=SOFT, linewidth=1)
    axes.text(trained_context, 1.0, " trained", transform=axes.get_xaxis_transform(), fontsize=8, color=SOFT, va="top")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("position in tokens")
    axes.set_ylabel("nats a token")
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.02))
    return figure_png(figure)


def short(value: float) -> str:
    """A number in a few characters, such as 1.23M."""
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


_BELOW: Final[dict[str, Any]] = {"textcoords": "offset points", "fontsize": 8, "va": "top", "color": INK}
_CENTERED: Final[dict[str, Any]] = {"ha": "center", "va": "center"}


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of so many inches in the project's style."""
    figure, (axes,) = new_panels(width, [height])
    return figure, axes


def new_panels(width: float, heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """As `new_figure`, with panels of so many inches one above the other, which share their x axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, sum(heights)), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes in panels:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(SOFT)
        axes.tick_params(colors=INK, labelsize=8)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, list(panels)


def figure_png(figure: Figure) -> bytes:
    """The figure as a PNG without a time stamp."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})
    return buffer.getvalue()


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="upper right")


def _starts(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """A thin line wherever another epoch or stage begins."""
    for before, after in itertools.pairwise(rows):
        names = (f"epoch {after.get('epoch')}", str(after.get("stage")))
        changed = [
            name
            for key, name in zip(("epoch", "stage"), names, strict=True)
            if after.get(key) is not None and after.get(key) != before.get(key)
        ]
        if changed:
            at = after["tokens"] / 1e6
            axes.axvline(at, color=GRID, linewidth=1.2, zorder=0)
            axes.text(
                *(at, 0.02, f" {' · '.join(changed)}"),
                transform=axes.get_xaxis_transform(),
                fontsize=7,
                color=SOFT,
                rotation=90,
                va="bottom",
            )


def _smooth(values: Sequence[float]) -> list[float]:
    """The mean of each value's neighbours, as many on one side as on the other."""
    reach = min(10, len(values) // 20)
    result = []
    for i in range(len(values)):
        near = min(reach, i, len(values) - 1 - i)
        part = values[i - near : i + near + 1]
        result.append(sum(part) / len(part))
    return result


def _thin(values: Sequence[float], most: int) -> list[float]:
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _swatch(color: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=color)


def _marker(marker: str, color: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], marker=marker, color=color, linestyle="", markersize=6, markeredgewidth=1.6)
