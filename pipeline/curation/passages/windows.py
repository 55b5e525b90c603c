"""Windows of text by their hashes: of a length in bytes from every word on, and whole lines.

In: documents. Out: `ENTRY` records in the documents' order. Two documents share a passage of the length or more that
begins at a word exactly where they share a window, so passages are what repeated windows cover. A window's hash is the
difference of two sums over a block of text (`pipeline.curation.text.byte_words`), so its length costs nothing; two
different windows have one hash with a chance of about 2^-64.

A word begins after a blank, and at every character of Han and kana. A window that ends within a word stops before it,
so the last word of a passage may stay; one that would lose half of itself so is left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.distinct import distinct
from pipeline.base.files import whole_path
from pipeline.base.ids import splitmix64
from pipeline.curation.settings import PassageSettings
from pipeline.curation.tables import iter_file
from pipeline.curation.text.byte_words import blocks, powers_of, text_bytes

ENTRY: Final = np.dtype([("hash", "<u8"), ("document", "<u4"), ("start", "<u4"), ("stop", "<u4")])
"""A window: which document it is in, and its first and last byte there (past the end)."""
_BYTES: Final = splitmix64(np.arange(256, dtype=np.uint64) + np.uint64(1))
_NEWLINE: Final = 10


def write_windows(path: Path, rows: np.ndarray, first: int, settings: PassageSettings, out: Path) -> None:
    """Write the windows of some rows (int64, ascending) of a file of documents, which are numbered from `first` on.

    `<out>.passages` and `<out>.lines` hold them by hash, those of one hash in the documents' order.
    """
    passages, lines = [np.empty(0, dtype=ENTRY)], [np.empty(0, dtype=ENTRY)]
    row, number = 0, first
    for batch in iter_file(path, ("text",)):
        low, high = np.searchsorted(rows, [row, row + batch.num_rows])
        texts = batch.column("text").take(pa.array(rows[low:high] - row))
        passages.append(windows_of(texts, number, settings.least_bytes))
        if settings.lines is not None:
            lines.append(lines_of(texts, number, settings.lines.least_bytes))
        row, number = row + batch.num_rows, number + int(high - low)
    for kind, found in (("passages", passages), ("lines", lines)):
        entries = np.concatenate(found)
        with whole_path(out.with_suffix(f".{kind}"), sync=False) as unfinished:
            entries[np.argsort(entries["hash"], kind="stable")].tofile(unfinished)


def windows_of(texts: pa.Array, first: int, length: int) -> np.ndarray:
    """The windows of `length` bytes of some documents, `ENTRY` [W], in their order."""
    data, offsets = text_bytes(texts)
    found = [np.empty(0, dtype=ENTRY)]
    for start, stop in blocks(offsets):
        some = data[offsets[start] : offsets[stop]]
        inside = offsets[start : stop + 1] - offsets[start]
        begins, ends_ = _words(some, inside)
        owner = np.searchsorted(inside, begins, side="right") - 1
        whole = begins + length <= inside[owner + 1]
        begins, owner = begins[whole], owner[whole]
        entries = np.empty(len(begins), dtype=ENTRY)
        entries["hash"] = _hashes(some, begins, begins + length)
        entries["document"] = first + start + owner
        entries["start"], entries["stop"] = begins - inside[owner], ends_[begins + length] - inside[owner]
        found.append(entries[2 * (entries["stop"] - entries["start"]).astype(np.int64) >= length])
    return np.concatenate(found)


def lines_of(texts: pa.Array, first: int, least: int) -> np.ndarray:
    """The lines of at least so many bytes of some documents, `ENTRY` [L], in their order."""
    data, offsets = text_bytes(texts)
    found = [np.empty(0, dtype=ENTRY)]
    for start, stop in blocks(offsets):
        some = data[offsets[start] : offsets[stop]]
        inside = offsets[start : stop + 1] - offsets[start]
        breaks = np.flatnonzero(some == _NEWLINE)
        begins = distinct(np.concatenate([inside[:-1][np.diff(inside) > 0], breaks[breaks + 1 < len(some)] + 1]))
        owner = np.searchsorted(inside, begins, side="right") - 1
        after = np.searchsorted(breaks, begins)
        ends = np.minimum(np.append(breaks, len(some))[after], inside[owner + 1])
        long = ends - begins >= least
        begins, ends, owner = begins[long], ends[long], owner[long]
        entries = np.empty(len(begins), dtype=ENTRY)
        entries["hash"] = _hashes(some, begins, ends)
        entries["document"] = first + start + owner
        entries["start"], entries["stop"] = begins - inside[owner], ends - inside[owner]
        found.append(entries)
    return np.concatenate(found)


def _words(data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where words begin (int64 [W]); and for every place in the data, its end included, the last one at or before it
    where a cut takes no word apart (int64 [B + 1])."""
    blank = data <= 32
    alone = (data >= 0xE3) & (data <= 0xE9)
    begins = ~blank
    begins[1:] &= blank[:-1]
    begins[offsets[:-1][np.diff(offsets) > 0]] = True
    begins |= alone
    begins &= ~blank
    places = np.zeros(len(data) + 1, dtype=np.int64)
    places[:-1][blank | begins] = np.flatnonzero(blank | begins)
    places[offsets] = offsets
    return np.flatnonzero(begins), np.maximum.accumulate(places)


def _hashes(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    powers, inverses = powers_of(len(data))
    sums = np.zeros(len(data) + 1, dtype=np.uint64)
    counted = _BYTES[data]
    counted *= powers[: len(data)]
    np.cumsum(counted, out=sums[1:])
    return splitmix64((sums[stops] - sums[starts]) * inverses[np.minimum(starts, max(len(data) - 1, 0))])
