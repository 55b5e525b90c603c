"""The stage `heldout/<corpus>`: the validation documents, split off by group before any filter and then frozen.

In: `documents/<corpus>`. Out: `heldout.parquet`, self-contained. Groups (a book, an article, a page) are taken in the
order of a keyed hash of their names until the target share of bytes is reached, so the choice does not depend on the
order of the input, and new documents move no old group past another. A group is never split, neither side empty.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.curation.settings import HeldoutSettings
from pipeline.curation.tables import CORE_FIELDS, ColumnsHash, TableWriter, iter_parts
from pipeline.errors import CurationError

HELDOUT_VERSION: Final = "1"
SCHEMA: Final = pa.schema(
    [field for field in CORE_FIELDS if field.name in ("doc_id", "text", "bytes", "group", "lang")]
)
log = logging.getLogger(__name__)


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
    sizes: Counter[str] = Counter()
    total = 0
    for batch in iter_parts(documents, ("group", "bytes")):
        total += batch.num_rows
        for group, size in zip(batch.column("group").to_pylist(), batch.column("bytes").to_pylist(), strict=True):
            sizes[group] += size
    chosen = choose_groups(corpus, sizes, settings.share if share is None else share, settings.seed)
    out.mkdir(parents=True, exist_ok=True)
    hashed = ColumnsHash(["doc_id", "bytes", "group", "lang"])
    wanted = pa.array(sorted(chosen))
    size = 0
    with TableWriter(out / "heldout.parquet", SCHEMA) as writer:
        for batch in iter_parts(documents, SCHEMA.names):
            kept = batch.filter(pc.is_in(batch.column("group"), value_set=wanted)).select(SCHEMA.names)
            if kept.num_rows:
                hashed.update(kept)
                size += pc.sum(kept.column("bytes")).as_py()
                writer.write(kept)
    log.info("%s: %d of %d documents, %.2f MB held out", corpus, hashed.rows, total, size / 1e6)
    return HeldoutSummary(hashed.hexdigest(), hashed.rows, size, len(chosen), total, sum(sizes.values()), len(sizes))


def choose_groups(corpus: str, sizes: Counter[str], share: float, seed: int) -> set[str]:
    """The held-out groups: at least one, never all; the last one taken is the one that reaches the share.

    A group that would overshoot the target by more than stopping before it falls short is left out, unless it is the
    only one: with few large groups, such as books, the share is met as nearly as whole groups allow.
    """
    if len(sizes) < 2:
        raise CurationError(
            f"corpus {corpus!r} has {len(sizes)} group(s) of documents, so no validation text can be held out without "
            "splitting one: add a source, or set a `group_field` or a format that gives more groups"
        )
    target = share * sum(sizes.values())
    key = f"squeeze-heldout:{seed}:{corpus}".encode()[:64]
    order = sorted(sizes, key=lambda group: (hashlib.blake2b(group.encode(), key=key, digest_size=16).digest(), group))
    chosen: set[str] = set()
    taken = 0
    for group in order[:-1]:
        after = taken + sizes[group]
        if chosen and after - target > target - taken:
            break
        chosen.add(group)
        taken = after
        if taken >= target:
            break
    return chosen
