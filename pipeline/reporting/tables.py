"""Tables and bars: rows as a grid of text, and as markdown without raw HTML, which Dagster's UI strips.

In: rows as mappings, of which some may lack keys that others have. Out: text, each number as people read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.base.markdown import escaped
from pipeline.base.numbers import figure

BLOCKS: Final = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Grid:
    """A table as text, whatever it is drawn with."""

    headings: list[str]
    right: list[bool]
    """By column, whether all of it are numbers, which go to the right."""
    cells: list[list[str]]


def grid_of(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str] | None = None) -> Grid:
    """Rows as a grid; a dash where a row has nothing.

    columns: key in the rows -> heading, in order; none: every key of any row.
    """
    headings = dict(columns or {key: str(key) for key in columns_of(rows)})
    return Grid(
        headings=list(headings.values()),
        right=[all(_is_number(row.get(key)) for row in rows) for key in headings],
        cells=[[figure(row.get(key)) for key in headings] for row in rows],
    )


def markdown_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str] | None = None) -> str:
    """Rows as a markdown table; numbers to the right. Empty text for no rows. `columns` as for `grid_of`."""
    from tabulate import tabulate

    if not rows:
        return ""
    grid = grid_of(rows, columns)
    return tabulate(
        [[_escape(cell) for cell in cells] for cells in grid.cells],
        [_escape(heading) for heading in grid.headings],
        tablefmt="pipe",
        colalign=["right" if right else "left" for right in grid.right],
        disable_numparse=True,
    )


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every key of any row, in the order they are first seen: a row may lack what others have."""
    return list(dict.fromkeys(key for row in rows for key in row))


def bar(share: float, width: int = 16) -> str:
    """A share from 0 to 1 as a bar of block characters, an eighth of a character fine."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (BLOCKS[rest] if rest else "")


def bar_table(amounts: Mapping[str, float], *, heading: str = "", unit: str = "") -> str:
    """Named amounts as a markdown table with a bar each, longest for the greatest, and each one's share of all."""
    total = sum(amounts.values())
    most = max(amounts.values(), default=0.0)
    rows = [
        {
            "name": name,
            "amount": amount,
            "share": f"{amount / total:.1%}" if total else "—",
            "bar": bar(amount / most) if most else "",
        }
        for name, amount in amounts.items()
    ]
    return markdown_table(rows, {"name": heading, "amount": unit, "share": "share", "bar": ""})


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _escape(text: str) -> str:
    """Text that breaks out of no cell; its lines stand one after the other."""
    return escaped(" · ".join(text.splitlines()))
