"""The training loss and the learning rate over the tokens of a run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.reporting.plots.style import GRID, INK, SOFT, corpus_colors, figure_png, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def loss_curve_png(
    metrics: Sequence[Mapping[str, Any]],
    validation: Mapping[str, float] | None = None,
    corpora: Sequence[str] = (),
) -> bytes:
    """Training loss (nats a token) and learning rate over tokens, from the lines of `metrics.jsonl`.

    `validation` holds the final held-out loss by corpus, drawn as dashes at the right; `corpora` are all that the
    profile has.
    """
    rows = [row for row in metrics if row.get("loss") is not None]
    figure, axes = new_figure(7.2, 3.2)
    tokens = [row["tokens"] / 1e6 for row in rows]
    losses = [row["loss"] for row in rows]
    axes.plot(tokens, losses, color=INK, alpha=0.3, linewidth=1)
    axes.plot(tokens, _smooth(losses), color=INK, linewidth=1.8, label="training loss")
    colors = corpus_colors(list(validation or {}), corpora)
    for name, loss in sorted((validation or {}).items()):
        axes.axhline(loss, xmin=0.9, color=colors[name], linewidth=2, label=f"held-out {name}")
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
