"""Small building blocks of metadata: tables and bars that Dagster's UI renders inline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from pipeline.base.markdown import plain
from pipeline.reporting.tables import bar, bar_table, columns_of, markdown_table

DIGITS: Final = 5
PAGE: Final = 415.0
"""Pixels that a page of 1,440 leaves for a table beside names of twenty letters; what is wider is cut at its right."""
LETTER, HEADING, PADDING = 8.4, 7.3, 13.0
"""Pixels of a letter in a cell and in a heading, and around either."""
LONG_UNIT: Final = 16


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue | dg.MarkdownMetadataValue:
    """Rows as a table with a column for every key of any row, empty where a row has none of it.

    Dagster refuses rows of unequal keys. Values that a table cannot hold become text. What is too wide for a page
    stands with its rows beside each other where it fits so, each under what its first column says.
    """
    if not rows:
        return dg.MetadataValue.md("none")
    columns = columns_of(rows)
    cells = [{str(key): _cell(row.get(key)) for key in columns} for row in rows]
    beside = _turned(cells)
    if _width(cells) > PAGE and beside and _width(beside) < _width(cells):
        cells = beside
    return dg.MetadataValue.table([dg.TableRecord(row) for row in cells])


def _turned(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Columns as rows; nothing where the first column does not tell the rows apart."""
    first, *others = rows[0]
    names = [str(row[first]) for row in rows]
    if len({first, *names}) <= len(names):
        return []
    return [{first: key, **{name: str(row[key]) for name, row in zip(names, rows, strict=True)}} for key in others]


def _width(rows: Sequence[Mapping[str, Any]]) -> float:
    """Pixels that the UI takes for a table at least: cells wrap between words, headings do not."""
    widest = {key: max(len(key) * HEADING, *(_longest_word(row[key]) * LETTER for row in rows)) for key in rows[0]}
    return sum(width + PADDING for width in widest.values())


def _longest_word(value: Any) -> int:
    return max((len(word) for word in str(value).split()), default=0)


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
    if len(unit) > LONG_UNIT:  # as a heading it would push the bars off the page
        return dg.MetadataValue.md(f"{plain(unit)}\n\n{markdown_table(rows, {'name': '', 'amount': '', 'bar': ''})}")
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
