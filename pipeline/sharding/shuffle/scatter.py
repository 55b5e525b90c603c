"""First pass of the shuffle: a piece of a token store becomes sorted runs of the documents that the epoch selects.

In: some record batches of one store and the epoch's plan. Out: for each stage, run files of documents
sorted by key, each bounded in memory, and an index of how many documents and tokens fall in each of 4,096 key ranges.

A run says where its documents' tokens lie. Where the stores stay in the page cache, that is in the stores: reading
documents here and there costs no more than reading them in order, and this pass moves 50 bytes a document. Where they
do not, random reads would wait for the disk at every document, so the tokens are copied beside the run, in its order.

Sorting inside a run costs little and buys much: the second pass finds any range of keys in a run as one contiguous
stretch, so how it divides its work is decided there and then, and pieces, memory and workers never show in the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base import files
from pipeline.base.arrow import fixed_bytes, offsets_of
from pipeline.base.finished import finish, is_finished
from pipeline.sharding.output.rows import bytes_of
from pipeline.sharding.schedule.schedule import EpochPlan, StagePlan
from pipeline.sharding.shuffle.places import PLACE_BYTES, Places, concat, copy_stretches, write_run
from pipeline.sharding.shuffle.selection import select
from pipeline.tokenization.corpus_tokens.store import StoreFile, TokenStore, map_batches, read_batches, token_bytes

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
    tokens: int


def pieces(stores: Mapping[str, TokenStore], epoch: EpochPlan, piece_bytes: int) -> list[Piece]:
    """Divide the stores into pieces (whole record batches) whose documents, all copies of them, take `piece_bytes`."""
    result: list[Piece] = []
    for corpus, store in stores.items():
        parts = [stage.parts_of(corpus) for stage in epoch.stages]
        repeats = max((part.repeats for some in parts for part in some), default=1)
        if corpus in epoch.copies:  # a pass is more than all documents
            repeats = max(repeats, *(sum(part.documents for part in some) / store.documents for some in parts))
        copies = math.ceil(repeats)
        for file in store.files:
            batches = read_batches(file, store.tokenizer.dtype)
            first = places = tokens = 0
            for number, batch in enumerate(batches):
                offsets = offsets_of(batch.column("tokens"))
                tokens += int(offsets[-1] - offsets[0]) if batch.num_rows else 0
                places += batch.num_rows * copies
                if tokens * epoch.itemsize + places * PLACE_BYTES >= piece_bytes or number + 1 == len(batches):
                    result.append(Piece(len(result), corpus, file, first, number + 1, tokens))
                    first, places, tokens = number + 1, 0, 0
    return result


def scatter(piece: Piece, epoch: EpochPlan, work: Path, run_bytes: int, copying: bool) -> int:
    """Write the piece's runs, with their tokens if `copying`, and, last, its index (see `index_name`).

    Returns the piece's tokens. A piece whose index exists is finished and left alone. Raises `ShardError` for a damaged
    store.

    These files are scratch, which this build alone reads and then deletes, so it does not wait for the disk to have
    them. A kill loses nothing by that; what a power cut leaves short or empty differs from its record.
    """
    index = work / index_name(piece.number)
    if is_finished(index):
        return piece.tokens
    whole, batches = map_batches(piece.file, epoch.tokenizer.dtype)
    batches = [batch for batch in batches[piece.first : piece.last] if batch.num_rows]
    if not copying:
        files.read_ahead(piece.file.path)
    stages: list[int] = []
    counts: list[np.ndarray] = []
    runs: list[Path] = []
    for stage in epoch.stages:
        places = _selected(piece, batches, whole, epoch, stage)
        if places is None:
            continue
        for run in _runs(places, run_bytes if copying else None):
            written = _write_tokens(run, whole, work / tokens_name(piece.number, len(counts))) if copying else run
            with files.whole_path(work / run_name(piece.number, len(counts)), sync=False) as path:
                write_run(written, path)
            runs += [work / name(piece.number, len(counts)) for name in (run_name, *([tokens_name] if copying else []))]
            stages.append(stage.index)
            counts.append(_count(run, epoch.itemsize))
    with files.whole_path(index, sync=False) as path, path.open("wb") as file:
        np.savez(file, stages=np.array(stages, np.int64), counts=np.array(counts, np.int64).reshape(-1, 2, RANGES))
    finish(index, *runs)
    return piece.tokens


def _runs(places: Places, run_bytes: int | None) -> list[Places]:
    """The documents in runs of about `run_bytes`, or in one."""
    if run_bytes is None:
        return [places]
    numbers = (np.cumsum(places.sizes) - 1) // run_bytes
    cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(places)]
    return [places.take(slice(first, last)) for first, last in itertools.pairwise(cuts)]


def _write_tokens(places: Places, whole: pa.Buffer, path: Path) -> Places:
    """Copy the documents' tokens, in order, to `path`; the documents as they lie there."""
    ends = np.cumsum(places.sizes)
    tokens = memoryview(bytearray(int(ends[-1])))
    copy_stretches(places, [memoryview(whole).cast("B")], tokens)
    with files.whole_path(path, sync=False) as partial, partial.open("wb") as file:
        file.write(tokens)
    return replace(places, starts=ends - places.sizes)


def run_name(piece: int, run: int) -> str:
    """File name of a piece's run."""
    return f"piece_{piece:05d}_run_{run:03d}.arrow"


def tokens_name(piece: int, run: int) -> str:
    """File name of the tokens of a piece's run, where they are copied."""
    return f"piece_{piece:05d}_run_{run:03d}.tokens"


def index_name(piece: int) -> str:
    """File name of a piece's index: `stages` int64 [runs], `counts` int64 [runs, 2, RANGES] documents and tokens."""
    return f"piece_{piece:05d}.npz"


def _count(places: Places, itemsize: int) -> np.ndarray:
    """Documents and tokens by key range, int64 [2, RANGES]."""
    where = (places.keys >> np.uint64(64 - RANGE_BITS)).astype(np.int64)
    counts = np.zeros((2, RANGES), dtype=np.int64)
    counts[0] = np.bincount(where, minlength=RANGES)
    counts[1] = np.bincount(where, weights=places.sizes // itemsize, minlength=RANGES)  # float64: exact below 2^53
    return counts


def _selected(
    piece: Piece, batches: list[pa.RecordBatch], whole: pa.Buffer, epoch: EpochPlan, stage: StagePlan
) -> Places | None:
    """The batches' documents in a stage, copies included, in order of their keys; none where it takes none."""
    corpus = piece.corpus
    if not batches or not stage.parts_of(corpus):
        return None
    of_batches = []
    for batch in batches:
        chosen, sort_keys = select(batch, piece.file, corpus, epoch, stage)
        starts, sizes = token_bytes(batch.column("tokens"), whole, epoch.itemsize)
        of_batches.append(
            Places(
                keys=sort_keys,
                ids=fixed_bytes(batch.column("doc_id"))[chosen],
                sources=np.full(len(chosen), epoch.source_id(corpus), dtype=np.uint16),
                bytes=bytes_of(batch)[chosen],
                starts=starts[chosen],
                sizes=sizes[chosen],
                files=np.zeros(len(chosen), dtype=np.int64),
            )
        )
    places = concat(of_batches)
    return places.sorted() if places else None
