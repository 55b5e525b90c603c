"""Small building blocks of metadata: tables and bars that Dagster's UI renders inline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from pipeline.reporting.tables import bar, bar_table, columns_of, markdown_table

DIGITS: Final = 5


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue | dg.MarkdownMetadataValue:
    """Rows as a table with a column for every key of any row, empty where a row has none of it.

    Dagster refuses rows of unequal keys. Values that a table cannot hold become text.
    """
    if not rows:
        return dg.MetadataValue.md("none")
    columns = columns_of(rows)
    records = [dg.TableRecord({str(key): _cell(row.get(key)) for key in columns}) for row in rows]
    return dg.MetadataValue.table(records)


def bars(amounts: Mapping[str, float], unit: str) -> dg.MarkdownMetadataValue:
    """Named amounts as a bar chart in block characters."""
    if not amounts:
        return dg.MetadataValue.md("none")
    return dg.MetadataValue.md(bar_table(amounts, unit=unit))


def chart(amounts: Mapping[str, float], unit: str) -> dg.MarkdownMetadataValue:
    """Named amounts that are no shares of anything, each with a bar: what a page opens on, without a click."""
    most = max(amounts.values(), default=0.0)
    rows = [
        {"name": name, "amount": amount, "bar": bar(amount / most if most else 0)} for name, amount in amounts.items()
    ]
    return dg.MetadataValue.md(markdown_table(rows, {"name": "", "amount": unit, "bar": ""}))


def rounded(value: Any) -> Any:
    """A number for the eye: five digits; whole numbers and anything else as they are."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        if not math.isfinite(value):  # of a run that diverged
            return str(value)
        return float(f"{value:.4g}") if abs(value) < 1e4 else round(value)
    return value if isinstance(value, str | int | bool) else "" if value is None else str(value)
