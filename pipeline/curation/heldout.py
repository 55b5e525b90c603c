"""The asset `heldout/<corpus>`: the validation documents, split off by group before any filter and then frozen.

In: `documents/<corpus>`. Out: `heldout.parquet`, self-contained; others read it through this module alone. Groups
(a book, an article, a page) are taken in the order of a keyed hash of their names until the target share of bytes is
reached, so the choice does not depend on the order of the input, and new documents move no old group past another. A
group is never split, neither side empty.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.base.errors import CurationError
from pipeline.base.files import whole_path
from pipeline.base.parquet import read_metadata
from pipeline.curation.doc_ids import ids_of
from pipeline.curation.tables import CORE_FIELDS, ColumnsHash, TableWriter, iter_file, iter_parts

if TYPE_CHECKING:
    from pipeline.curation.settings import HeldoutSettings

HELDOUT_VERSION: Final = "1"
HELDOUT_FILE: Final = "heldout.parquet"
SCHEMA: Final = pa.schema(
    [field for field in CORE_FIELDS if field.name in ("doc_id", "text", "bytes", "group", "lang")]
)
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeldoutDocument:
    """A held-out document. A study's sample of them has neither ids nor groups, which are empty there."""

    text: str
    size: int
    """UTF-8 length of the text."""
    lang: str
    group: str = ""
    """What the split kept together: its book, article or page."""
    doc_id: bytes = b""


@dataclass(frozen=True)
class HeldoutSummary:
    """What was held out, and of how much."""

    content_hash: str
    documents: int
    bytes: int
    groups: int
    total_documents: int
    total_bytes: int
    total_groups: int

    @property
    def share(self) -> float:
        """Held-out part of the corpus's bytes."""
        return self.bytes / self.total_bytes


def split_heldout(
    corpus: str, settings: HeldoutSettings, documents: Path, out: Path, *, share: float | None = None
) -> HeldoutSummary:
    """Write the held-out documents of a corpus to `out/heldout.parquet`.

    Args:
        corpus: name; part of the hash's key.
        settings: share and seed.
        documents: folder of `documents/<corpus>`.
        out: output folder.
        share: the corpus's own share in place of `settings.share`.

    Raises:
        CurationError: the corpus has fewer than two groups, so that it cannot be split.
    """
    keys, sizes = _read_groups(corpus, settings.seed, documents)
    groups, group_of = np.unique(keys, return_inverse=True)
    totals = np.bincount(group_of, weights=sizes).astype(np.int64)
    chosen = choose_groups(corpus, totals, settings.share if share is None else share)
    hashed = ColumnsHash(["doc_id", "bytes", "group", "lang"])
    size = row = 0
    with TableWriter(out / HELDOUT_FILE, SCHEMA) as writer:
        for batch in iter_parts(documents, SCHEMA.names):
            kept = batch.filter(pa.array(group_of[row : row + batch.num_rows] < chosen)).select(SCHEMA.names)
            row += batch.num_rows
            if kept.num_rows:
                hashed.update(kept)
                size += pc.sum(kept.column("bytes")).as_py()
                writer.write(kept)
    log.info("%s: %d of %d documents, %.2f MB held out", corpus, hashed.rows, row, size / 1e6)
    return HeldoutSummary(hashed.hexdigest(), hashed.rows, size, chosen, row, int(totals.sum()), len(groups))


def iter_heldout(heldout: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of the held-out documents in `heldout`, the folder of `heldout/<corpus>`, in the documents' order.

    Raises:
        CurationError: the file is missing or damaged, or lacks a column.
    """
    yield from (batch.select(list(columns)) for batch in iter_file(heldout_file(heldout), columns))


def heldout_documents(heldout: Path) -> Iterator[HeldoutDocument]:
    """The same documents one by one. Raises as `iter_heldout` does."""
    there = read_metadata(heldout_file(heldout)).schema.names
    names = ["text", "bytes", "lang", *(name for name in ("group", "doc_id") if name in there)]
    for batch in iter_heldout(heldout, names):
        for row in batch.to_pylist():
            yield HeldoutDocument(row["text"], row["bytes"], row["lang"], row.get("group", ""), row.get("doc_id", b""))


def write_heldout_sample(documents: Sequence[HeldoutDocument], folder: Path) -> None:
    """Write held-out documents, without ids and groups, as `folder/heldout.parquet`, which is read as a split is."""
    columns = {
        "text": [document.text for document in documents],
        "bytes": [document.size for document in documents],
        "lang": [document.lang for document in documents],
    }
    with whole_path(folder / HELDOUT_FILE) as path:
        pq.write_table(pa.table(columns), path, compression="zstd")


def heldout_ids(heldout: Path) -> np.ndarray:
    """Ids of the held-out documents, uint64 [N, 2] as `ids_of` gives them. Raises as `iter_heldout` does."""
    return np.concatenate([np.empty((0, 2), np.uint64), *map(ids_of, iter_heldout(heldout, ("doc_id",)))])


def heldout_file(heldout: Path) -> Path:
    """The one file of a split's folder. Raises CurationError where it is missing."""
    path = heldout / HELDOUT_FILE
    if not path.is_file():
        raise CurationError(f"{path} is missing: the held-out split was not built")
    return path


def group_keys(corpus: str, seed: int, groups: Iterable[str]) -> np.ndarray:
    """Keyed hashes of groups' names, uint64, whose order is the order of the split."""
    key = f"squeeze-heldout:{seed}:{corpus}".encode()[:64]
    digests = (hashlib.blake2b(group.encode(), key=key, digest_size=16).digest()[:8] for group in groups)
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def _read_groups(corpus: str, seed: int, documents: Path) -> tuple[np.ndarray, np.ndarray]:
    """Key of the group (uint64) and bytes (uint32) of every document: 12 bytes each, where names would take 150."""
    keys, sizes = [], []
    for batch in iter_parts(documents, ("group", "bytes")):
        keys.append(group_keys(corpus, seed, batch.column("group").to_pylist()))
        sizes.append(batch.column("bytes").to_numpy())
    return np.concatenate(keys), np.concatenate(sizes)


def choose_groups(corpus: str, sizes: np.ndarray, share: float) -> int:
    """How many of the first groups, whose bytes are `sizes` (int64 [G], in the order of their keys), are held out.

    At least one, never all; the last one taken is the one that reaches the share. A group that would overshoot the
    target by more than stopping before it falls short ends the split, unless it is the only one: with few large
    groups, such as books, the share is met as nearly as whole groups allow.
    """
    if len(sizes) < 2:
        raise CurationError(
            f"corpus {corpus!r} has {len(sizes)} group(s) of documents, so no validation text can be held out without "
            "splitting one: add a source, or set a `group_field` or a format that gives more groups"
        )
    target = share * int(sizes.sum())
    held_out = 0
    for place in range(len(sizes) - 1):
        with_next = held_out + int(sizes[place])
        if place and with_next - target > target - held_out:
            return place
        held_out = with_next
        if held_out >= target:
            return place + 1
    return len(sizes) - 1
