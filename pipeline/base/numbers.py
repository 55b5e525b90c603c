"""Numbers as people read them: in tables, on pages, in the terminal and in messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from trainer.numbers import duration

__all__ = ["age", "counted", "duration", "figure", "minutes_or_hours", "short", "size", "with_error"]

_SIZES: Final = ("B", "kB", "MB", "GB", "TB")
_SHORT: Final = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_AGES: Final = (("d", 86_400), ("h", 3_600), ("min", 60))


def figure(value: Any) -> str:
    """A table's cell: 1,234,567 · 0.123 · 12.3 · yes · — for nothing; text as it is."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def short(value: float) -> str:
    """A number in a few characters: 1.23M."""
    for unit_size, unit in _SHORT:
        if abs(value) >= unit_size:
            return f"{value / unit_size:.3g}{unit}"
    return f"{value:.3g}"


def counted(number: int, noun: str) -> str:
    """How many of what: 1 asset · 1,200 assets."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def with_error(value: float, stderr: float | None, *, digits: int = 4) -> str:
    """A score and one standard error: 0.2892 ± 0.0045."""
    return f"{value:.{digits}f} ± {stderr:.{digits}f}" if stderr is not None else f"{value:.{digits}f}"


def minutes_or_hours(seconds: float) -> str:
    """How long something took, in the unit one would say: 1.6 min · 2.3 h."""
    minutes = seconds / 60
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.1f} min"


def size(count: float) -> str:
    """Bytes: 12.3 MB."""
    for unit in _SIZES[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {_SIZES[-1]}"


def age(at: str) -> str:
    """Time since an ISO 8601 moment, in its largest unit: 3 h."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()
    for unit, length in _AGES:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
