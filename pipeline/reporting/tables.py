"""Markdown tables and bars for Dagster's UI and the console: short, aligned, and never raw HTML (the UI strips it)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

BLOCKS: Final = " ▏▎▍▌▋▊▉█"


def markdown_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str] | None = None) -> str:
    """Rows as a markdown table; numbers to the right. Empty text for no rows.

    Args:
        columns: key in the rows -> heading, in order; none: every key of any row.
    """
    if not rows:
        return ""
    headings = dict(columns or {key: str(key) for key in columns_of(rows)})
    numeric = [all(_is_number(row.get(key)) for row in rows) for key in headings]
    lines = [
        "| " + " | ".join(_escape(heading) for heading in headings.values()) + " |",
        "| " + " | ".join("---:" if right else "---" for right in numeric) + " |",
    ]
    lines += ["| " + " | ".join(_escape(shown(row.get(key))) for key in headings) + " |" for row in rows]
    return "\n".join(lines)


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every key of any row, in the order they are first seen: a row may lack what others have."""
    return list(dict.fromkeys(key for row in rows for key in row))


def shown(value: Any) -> str:
    """A value as people read it: 1,234,567 · 0.123 · 12.3 · yes · —"""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


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
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
