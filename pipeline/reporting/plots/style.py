"""How the project's pictures look, and how one becomes a file.

Drawn with matplotlib's objects alone: `pyplot` keeps global state and is not safe in Dagster's threads. A picture is
some tens of kB of PNG, the same bytes for the same numbers: no time stamps, no fonts but the one matplotlib brings.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#1f2937"
SOFT: Final = "#9ca3af"
GRID: Final = "#e5e7eb"
COLORS: Final = (
    *("#2563eb", "#ea580c", "#059669", "#9333ea", "#dc2626", "#0891b2", "#ca8a04", "#db2777"),
    *("#65a30d", "#475569", "#92400e", "#5eead4"),
)
LIGHTER: Final = 0.4
"""How much of the way to white each further language of a corpus is."""
DPI: Final = 110


def corpus_colors(names: Sequence[str], corpora: Sequence[str] = ()) -> dict[str, str]:
    """The colour of each corpus, or language of one (`corpus/language`), the same in all pictures.

    corpora: all that the profile has. A picture that shows some of them alone gives them the colours that they have
    beside all the others.
    """
    known = sorted({name.partition("/")[0] for name in (*names, *corpora)})
    colors = {}
    for name in dict.fromkeys(names):
        corpus = name.partition("/")[0]
        languages = sorted({other for other in names if other.partition("/")[0] == corpus})
        base = COLORS[known.index(corpus) % len(COLORS)]
        colors[name] = _lighter(base, 1 - (1 - LIGHTER) ** languages.index(name))
    return colors


def _lighter(color: str, share: float) -> str:
    """A colour that is `share` of the way to white."""
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)


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


def markdown_image(png: bytes, alt: str) -> str:
    """A picture inside markdown, as a data URI."""
    return f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"
