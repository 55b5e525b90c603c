"""Documents that a run was trained on, each put beside a held-out one of the same corpus and language.

In: a corpus's held-out documents, the run's shards, a way to read the corpus's training documents. Out: pairs of texts
of about as many bytes. Which documents were read is what the shards hold, since a run may see a part of a corpus alone;
of those the ones whose texts have the smallest hashes are looked at, so that they are of all sources.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.curation.doc_ids import doc_id
from pipeline.evaluation.heldout import UNKNOWN_LANGUAGE, Heldout, TrainingText

LOOKED_AT: Final = 20
"""Documents that were read, for each held-out one of a corpus: enough that one is about as long."""


@dataclass(frozen=True)
class Document:
    """A document that was trained on."""

    id: str
    """Hexadecimal."""
    text: str
    lang: str
    bytes: int


@dataclass(frozen=True)
class Pair:
    """The beginnings of two documents, of as many bytes."""

    heldout: str
    read: str
    heldout_hash: str
    """Hexadecimal, of the whole document."""
    read_hash: str
    bytes: int
    """Of either side."""


def read_documents(corpus: str, heldout: Heldout, shards: Iterable[Path], training: TrainingText) -> list[Document]:
    """Some of the corpus's documents that the shards hold: `LOOKED_AT` for each held-out one, or all there are.

    shards: folders of the epochs the run was trained on.
    """
    wanted = _ids(corpus, shards, LOOKED_AT * len(heldout.texts))
    found = []
    for key, text, lang in training[corpus]() if wanted and corpus in training else ():
        if key in wanted:
            wanted.discard(key)
            found.append(Document(key.hex(), text, lang or UNKNOWN_LANGUAGE, len(text.encode())))
            if not wanted:
                break
    return found


def _ids(corpus: str, shards: Iterable[Path], most: int) -> set[bytes]:
    """The smallest ids of documents of a corpus in the shards."""
    import pyarrow.compute as pc

    from trainer.data.shards import read_manifest
    from trainer.data.streams import open_batches

    ids: set[bytes] = set()
    for folder in shards:
        manifest = read_manifest(folder)
        if corpus not in manifest.sources:
            continue
        number = manifest.sources.index(corpus)
        for stage in manifest.stages:
            for shard in stage.shards:
                for batch in open_batches(folder / shard.path, manifest.tokenizer.dtype):
                    ids.update(batch["doc_id"].filter(pc.equal(batch["source_id"], number)).to_pylist())
                    if len(ids) > 2 * most:
                        ids = set(heapq.nsmallest(most, ids))
    return set(heapq.nsmallest(most, ids))


def pairs_of(heldout: Heldout, read: Sequence[Document]) -> list[Pair]:
    """Each held-out document, the longest first, with the document of its language that is nearest in length and in no
    pair yet; held-out documents for which none is left are left out."""
    by_language: dict[str, list[Document]] = {}
    for document in sorted(read, key=lambda item: (item.bytes, item.id)):
        by_language.setdefault(document.lang, []).append(document)
    pairs = []
    for number in sorted(range(len(heldout.texts)), key=lambda number: (-heldout.bytes[number], number)):
        there = by_language.get(heldout.languages[number])
        if there:
            document = there.pop(_nearest([item.bytes for item in there], heldout.bytes[number]))
            data = heldout.texts[number].encode()
            sides = _as_long(data, document.text.encode())
            if sides:
                beginning, of_read = (side.decode() for side in sides)
                pairs.append(Pair(beginning, of_read, doc_id(data).hex(), document.id, len(sides[0])))
    return pairs


def _nearest(sizes: Sequence[int], size: int) -> int:
    """Place of the one nearest to a size in a sorted, not empty list."""
    place = bisect_left(sizes, size)
    return min((at for at in (place - 1, place) if 0 <= at < len(sizes)), key=lambda at: abs(sizes[at] - size))


def _as_long(one: bytes, other: bytes) -> tuple[bytes, bytes] | None:
    """The beginnings of two texts of as many bytes, as many as leave every character whole; none where none do."""
    for length in range(min(len(one), len(other)), 0, -1):
        if _between_characters(one, length) and _between_characters(other, length):
            return one[:length], other[:length]
    return None


def _between_characters(data: bytes, length: int) -> bool:
    return length == len(data) or data[length] & 0xC0 != 0x80
