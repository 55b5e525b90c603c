"""A line of values small enough to stand in a sentence: an SVG of under 1,000 characters.

That is what Dagster's UI renders without a click.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

from pipeline.reporting.plots.style import COLORS

SPARKLINE_LIMIT: Final = 1000


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


def bars_markdown(values: Sequence[float], alt: str) -> str:
    """The values as bars from left to right, inside markdown, in under 1,000 characters: more than fit are added up
    in stretches of equal length. Empty for no values.
    """
    for most in (60, 48, 36, 24, 12):
        heights = _added_up(values, most)
        top = max(heights, default=0.0) or 1.0
        step = 256 // max(len(heights), 1)
        bars = "".join(f"v{-round(44 * value / top)}h{step - 1}V46h1" for value in heights)
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="260" height="48"><path fill="{COLORS[0]}" '
            f'd="M2 46{bars}"/></svg>'
        )
        text = f"![{alt}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
        if heights and len(text) < SPARKLINE_LIMIT:
            return text
    return ""


def _added_up(values: Sequence[float], most: int) -> list[float]:
    each = -(-len(values) // most) if values else 1
    return [float(sum(values[start : start + each])) for start in range(0, len(values), each)]


def _thin(values: Sequence[float], most: int) -> list[float]:
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
