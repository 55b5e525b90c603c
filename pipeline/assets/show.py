"""Small building blocks of metadata: tables and bars that Dagster's UI renders inline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

BLOCKS: Final = " ▏▎▍▌▋▊▉█"
BAR_CELLS: Final = 20


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue | dg.MarkdownMetadataValue:
    """Rows as a table; all rows have the keys of the first."""
    if not rows:
        return dg.MetadataValue.md("none")
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows])


def bars(values: Mapping[str, float], unit: str) -> dg.MarkdownMetadataValue:
    """A bar chart in block characters, longest value full width."""
    most = max(values.values(), default=0) or 1
    width = max(map(len, values), default=0)
    lines = [f"{name:<{width}} {_bar(value / most)} {value:,.3g} {unit}" for name, value in values.items()]
    return dg.MetadataValue.md("```\n" + "\n".join(lines) + "\n```")


def _bar(share: float) -> str:
    eighths = round(max(share, 0) * BAR_CELLS * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (BLOCKS[rest] if rest else "")).ljust(BAR_CELLS)
