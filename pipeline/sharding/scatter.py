"""First pass of the shuffle: a piece of a token store becomes sorted runs of the documents that the epoch selects.

In: some record batches of one store and the epoch's slice of the schedule. Out: for each stage, run files of documents
sorted by key, each bounded in memory, and an index of how many documents and tokens fall in each of 4,096 key ranges.

Sorting inside a run costs little and buys much: the second pass finds any range of keys in a run as one contiguous
stretch, so how it divides its work is decided there and then, and pieces, memory and workers never show in the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipeline.sharding import files
from pipeline.sharding.keys import fractions, graded, id64, keys
from pipeline.sharding.rows import Rows, concat, list_as_binary, run_batch
from pipeline.sharding.stores import StoreFile, TokenStore, describe, offsets_of, read_batches
from trainer.shards import DTYPE_BYTES

RANGE_BITS: Final = 12
RANGES: Final = 1 << RANGE_BITS
"""Key ranges that the second pass can tell apart without reading a run."""


@dataclass(frozen=True)
class Piece:
    """Some record batches of a store's file: what one task of the first pass reads."""

    number: int
    corpus: str
    file: StoreFile
    first: int
    last: int
    """Record batches [first, last)."""


def pieces(stores: Mapping[str, TokenStore], tokens: int) -> list[Piece]:
    """Divide the stores into pieces of about `tokens` tokens (whole record batches)."""
    result: list[Piece] = []
    for corpus, store in stores.items():
        for file in store.files:
            batches = read_batches(file, store.tokenizer.dtype)
            first, size = 0, 0
            for number, batch in enumerate(batches):
                offsets = offsets_of(batch.column("tokens"))
                size += int(offsets[-1] - offsets[0]) if batch.num_rows else 0
                if size >= tokens or number + 1 == len(batches):
                    result.append(Piece(len(result), corpus, file, first, number + 1))
                    first, size = number + 1, 0
    return result


def scatter(piece: Piece, epoch: Mapping[str, Any], work: Path, run_tokens: int) -> None:
    """Write the piece's runs and, last, its index `piece_<number>.npz` (see `index_name`).

    A piece whose index exists is finished and left alone. Raises `ShardError` for a damaged store or a full disk.
    """
    done = work / index_name(piece.number)
    if done.exists():
        return
    stages: list[int] = []
    counts: list[np.ndarray] = []
    for stage in epoch["stages"]:
        for rows in _selected(piece, epoch, stage, run_tokens):
            with files.whole_path(work / run_name(piece.number, len(counts))) as path:
                _write_run(rows, path)
            stages.append(stage["index"])
            counts.append(_count(rows, DTYPE_BYTES[epoch["tokenizer"]["dtype"]]))
    with files.whole_path(done) as path, path.open("wb") as file:
        np.savez(file, stages=np.array(stages, np.int64), counts=np.array(counts, np.int64).reshape(-1, 2, RANGES))


def _write_run(rows: Rows, path: Path) -> None:
    batch = run_batch(rows)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write(batch)


def run_name(piece: int, run: int) -> str:
    """File name of a piece's run."""
    return f"piece_{piece:05d}_run_{run:03d}.arrow"


def index_name(piece: int) -> str:
    """File name of a piece's index: `stages` int64 [runs], `counts` int64 [runs, 2, RANGES] documents and tokens."""
    return f"piece_{piece:05d}.npz"


def _count(rows: Rows, itemsize: int) -> np.ndarray:
    """Documents and tokens by key range, int64 [2, RANGES]."""
    where = (rows.keys >> np.uint64(64 - RANGE_BITS)).astype(np.int64)
    counts = np.zeros((2, RANGES), dtype=np.int64)
    counts[0] = np.bincount(where, minlength=RANGES)
    np.add.at(counts[1], where, rows.lengths(itemsize))
    return counts


def _selected(piece: Piece, epoch: Mapping[str, Any], stage: Mapping[str, Any], run_tokens: int) -> Iterator[Rows]:
    """The piece's documents in a stage, copies included, in order of their keys, in parts of `run_tokens` tokens."""
    parts = [part for part in stage["parts"] if part["source"] == piece.corpus]
    if not parts:
        return
    batches = read_batches(piece.file, epoch["tokenizer"]["dtype"])[piece.first : piece.last]
    batches = [batch for batch in batches if batch.num_rows]
    described = [choose(batch, piece.corpus, epoch, stage, parts) for batch in batches]
    firsts = np.cumsum([0, *(batch.num_rows for batch in batches)])
    chosen = np.concatenate([first + rows for first, (rows, _, _) in zip(firsts, described, strict=False)] or [[]])
    if not len(chosen):
        return
    sort_keys, lengths = (np.concatenate([parts[i] for parts in described]) for i in (1, 2))
    rows = concat([rows_of(batch, epoch, piece.corpus) for batch in batches])
    order = np.argsort(sort_keys, kind="stable")
    runs = (np.cumsum(lengths[order]) - 1) // run_tokens
    for places in np.split(order, np.flatnonzero(np.diff(runs)) + 1):
        taken = rows.take(chosen[places])
        taken.keys = sort_keys[places]
        yield taken


def rows_of(batch: pa.RecordBatch, epoch: Mapping[str, Any], corpus: str) -> Rows:
    """All documents of a store's batch, keys still 0."""
    source = sorted(epoch["sources"]).index(corpus)
    return Rows(
        keys=np.zeros(batch.num_rows, dtype=np.uint64),
        ids=describe(batch).ids,
        sources=np.full(batch.num_rows, source, dtype=np.uint16),
        bytes=batch.column("bytes").to_numpy(zero_copy_only=False).astype(np.uint32),
        tokens=list_as_binary(batch.column("tokens"), DTYPE_BYTES[epoch["tokenizer"]["dtype"]]),
    )


def choose(
    batch: pa.RecordBatch,
    corpus: str,
    epoch: Mapping[str, Any],
    stage: Mapping[str, Any],
    parts: list[Mapping[str, Any]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions in the batch of the documents selected, one for each copy; their keys; their lengths in tokens."""
    documents = describe(batch)
    ids = id64(documents.ids)
    where = fractions(ids, epoch["seed"], corpus)
    first, count = np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=np.int64)
    for part in parts:
        mine = slice(None) if part["lang"] is None else _of_language(documents, part["lang"])
        (from_pass, from_fraction), (to_pass, to_fraction) = part["from"], part["to"]
        first[mine] = from_pass + (where[mine] < from_fraction)
        count[mine] = to_pass + (where[mine] < to_fraction) - first[mine]
    chosen = np.repeat(np.arange(len(ids)), count)
    copies = np.arange(len(chosen)) - np.repeat(np.cumsum(count) - count, count) + first[chosen]
    sort_keys = keys(ids[chosen], epoch["seed"], epoch["epoch"], stage["index"], corpus, copies)
    if "grade_edges" in stage:
        sort_keys = graded(sort_keys, documents.grades[chosen], np.array(stage["grade_edges"]))
    return chosen, sort_keys, documents.lengths[chosen]


def _of_language(documents: Any, lang: str) -> np.ndarray:
    number = documents.lang_names.index(lang) if lang in documents.lang_names else -1
    return documents.langs == number
