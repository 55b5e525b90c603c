"""Tokenizers beside each other: bytes a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reporting.plots.style import COLORS, INK, figure_png, new_figure


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
