"""Names beside the points of a scatter, where there is room: none lies on another, on a point or on a line."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pipeline.reporting.plots.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT: Final = 6.5
LETTER: Final = 0.62
"""Width of a letter, of the size of the font."""
PLACES: Final = ((5, 0, "left", "center"), (4, 4, "left", "bottom"), (4, -4, "left", "top"))
PLACES_LEFT: Final = ((-5, 0, "right", "center"), (-4, 4, "right", "bottom"), (-4, -4, "right", "top"))
ROOM: Final = 2.5
"""Points of paper that are kept free around a point or a line."""

Box = tuple[float, float, float, float]


def name_points(
    axes: Axes,
    named: Sequence[tuple[float, float, str]],
    points: Sequence[tuple[float, float]],
    lines: Sequence[Sequence[tuple[float, float]]] = (),
) -> None:
    """Write the names of as many of `named` as have room, the first ones first.

    Args:
        named: (x, y, name) in the axes' data.
        points: all points that are drawn.
        lines: corners of the lines that are drawn.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        return
    figure.draw_without_rendering()  # settles the layout, which the places in pixels depend on
    pixel = figure.dpi / 72
    frame = axes.get_window_extent()
    taken = [_around(x, y, ROOM * pixel) for x, y in map(axes.transData.transform, points)]
    taken += [box for line in lines for box in _boxes(axes, line, ROOM * pixel)]
    for x, y, name in named:
        at_x, at_y = axes.transData.transform((x, y))
        width, height = LETTER * FONT * len(name) * pixel, 1.1 * FONT * pixel
        for right, up, ha, va in (*PLACES, *PLACES_LEFT):
            left = at_x + right * pixel - (width if ha == "right" else 0)
            bottom = at_y + up * pixel - {"center": height / 2, "top": height, "bottom": 0}[va]
            box = (left, bottom, left + width, bottom + height)
            inside = frame.x0 <= left and box[2] <= frame.x1 and frame.y0 <= bottom and box[3] <= frame.y1
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                look: Any = {"fontsize": FONT, "color": INK, "ha": ha, "va": va}
                axes.annotate(name, (x, y), (right, up), textcoords="offset points", **look)
                break


def _boxes(axes: Axes, line: Sequence[tuple[float, float]], room: float) -> list[Box]:
    """Small boxes all along a line."""
    corners = [axes.transData.transform(corner) for corner in line]
    boxes = []
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        steps = max(1, int(max(abs(x1 - x0), abs(y1 - y0)) / 4))
        boxes += [
            _around(x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps, room / 2) for step in range(steps + 1)
        ]
    return boxes


def _around(x: float, y: float, room: float) -> Box:
    return x - room, y - room, x + room, y + room


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
