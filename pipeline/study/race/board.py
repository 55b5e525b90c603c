"""The board: what each entry and the standard recipe reached, a row each, track by track, the lowest score first.

In: entries with their records. Out: `board.csv`, and the same as tables in markdown. Every figure of a row follows from
the record; an entry beyond its track's limit has no rank and says why.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from pipeline.study.plan import StudyPlan
from pipeline.study.race.heat import ENTRY, STANDARD, Side, race_of
from pipeline.study.race.record import Record
from pipeline.study.report.tables import table
from pipeline.study.results.run_result import POOLED
from pipeline.study.tracks import TRACKS, RaceSettings

BOARD_FILE: Final = "board.csv"
RANKED: Final = "ranked"
BEGIN: Final = "<!-- made by squeeze race: begin -->"
END: Final = "<!-- made by squeeze race: end -->"
TITLES: Final = {
    "time": "Fixed time: no more CPU seconds than the standard recipe",
    "bytes": "Fixed bytes on disk: {bytes:,}, tokenizer included",
    "text": "Fixed text: {text:,} bytes, any number of passes",
}


@dataclass(frozen=True)
class Row:
    """One line of the board; figures of several seeds are means, but for what a limit is held against."""

    track: str
    rank: int | None
    """None beyond the track's limit."""
    entry: str
    what: str
    seeds: int
    bits_per_byte: float
    spread: float | None
    """Standard deviation over seeds."""
    parameters: int
    tokens: int
    text_bytes: int
    """The most of any seed."""
    cpu_seconds: float
    cpu_share: float
    """Of the standard recipe's CPU seconds in the same heats."""
    bits: int | None
    file_bytes: int | None
    """The most of any seed."""
    standing: str
    """`ranked`, or the limit that was passed."""


COLUMNS: Final = tuple(Row.__dataclass_fields__)


def row_of(plan: StudyPlan, record: Record, side: str = ENTRY) -> Row:
    """An entry's line, without its rank, or that of the standard recipe in the entry's heats."""
    race, _, entry = race_of(plan)
    heats = [item.heat for item in record.heats]
    sides: list[Side] = [getattr(heat, side) for heat in heats]
    scores = [(item.file or item.result).bits_per_byte[POOLED] for item in sides]
    seconds = [item.result.cpu_seconds or 0.0 for item in sides]
    standard = [heat.standard.result.cpu_seconds or 0.0 for heat in heats]
    files = [item.file for item in sides if item.file is not None]
    own = plan.settings.arms[entry.name if side == ENTRY else plan.settings.baseline]
    row = Row(
        track=str(race.track),
        rank=None,
        entry=record.entry if side == ENTRY else STANDARD,
        what=own.title,
        seeds=len(heats),
        bits_per_byte=round(statistics.fmean(scores), 4),
        spread=round(statistics.stdev(scores), 4) if len(scores) > 1 else None,
        parameters=sides[0].result.parameters["total"],
        tokens=max(item.result.tokens for item in sides),
        text_bytes=max(item.text_bytes for item in sides),
        cpu_seconds=round(statistics.fmean(seconds), 1),
        cpu_share=round(sum(seconds) / sum(standard), 3),
        bits=files[0].bits if files else None,
        file_bytes=max(item.bytes for item in files) if files else None,
        standing=RANKED,
    )
    return Row(**asdict(row) | {"standing": _standing(race, row)})


def _standing(race: RaceSettings, row: Row) -> str:
    if race.track == "time" and row.cpu_share > 1:
        return f"over the time: {row.cpu_share:.3f} of the standard recipe's CPU seconds"
    if race.track == "bytes" and (row.file_bytes or 0) > race.most_bytes:
        return f"over the bytes: {row.file_bytes:,} of at most {race.most_bytes:,}"
    if race.track == "text" and row.text_bytes > race.most_text:
        return f"over the text: {row.text_bytes:,} bytes of at most {race.most_text:,}"
    return RANKED


def board_of(entries: Iterable[tuple[StudyPlan, Record]]) -> list[Row]:
    """Every entry's line, and on each track that of the standard recipe in the heats of the entry with the lowest
    score; those within their limit first, with their ranks."""
    by_track: dict[str, list[tuple[Row, StudyPlan, Record]]] = {track: [] for track in TRACKS}
    for plan, record in entries:
        row = row_of(plan, record)
        by_track[row.track].append((row, plan, record))
    rows = []
    for found in by_track.values():
        found.sort(key=lambda item: _order(item[0]))
        lines = [row for row, _, _ in found]
        if found:
            _, plan, record = found[0]
            lines.append(row_of(plan, record, STANDARD))
        rank = 0
        for row in sorted(lines, key=_order):
            rank += row.standing == RANKED
            rows.append(Row(**asdict(row) | {"rank": rank if row.standing == RANKED else None}))
    return rows


def _order(row: Row) -> tuple[bool, float, str]:
    return row.standing != RANKED, row.bits_per_byte, row.entry


def csv_rows(rows: Sequence[Row]) -> list[Mapping[str, Any]]:
    """As `write_csv` takes them."""
    return [asdict(row) for row in rows]


def markdown(rows: Sequence[Row], race: RaceSettings) -> str:
    """A table for each track that has a line."""
    parts = []
    for track in TRACKS:
        lines = [row for row in rows if row.track == track]
        if lines:
            title = TITLES[track].format(bytes=race.most_bytes, text=race.most_text)
            parts.append(f"### {title}\n\n{_table(track, lines)}")
    return "\n\n".join(parts) or "No entry yet."


def _table(track: str, rows: Sequence[Row]) -> str:
    packed = track == "bytes"
    head = ["", "entry", "what", "bits per byte", "seeds", "parameters", "tokens", "bytes of text", "CPU seconds"]
    head += ["of the standard's", *(["bits", "bytes of the file"] if packed else []), "standing"]
    body = []
    for row in rows:
        spread = f" (± {row.spread:.4f})" if row.spread is not None else ""
        cells = [str(row.rank or ""), f"`{row.entry}`", row.what, f"{row.bits_per_byte:.4f}{spread}", str(row.seeds)]
        cells += [f"{row.parameters:,}", f"{row.tokens:,}", f"{row.text_bytes:,}", f"{row.cpu_seconds:,.1f}"]
        cells += [f"{row.cpu_share:.3f}", *([str(row.bits), f"{row.file_bytes:,}"] if packed else []), row.standing]
        body.append(cells)
    return table(head, body)
