"""The held-out documents a model is scored on: read once, encoded, and checked to come back byte for byte."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import EvaluationError, NotPossibleError
from pipeline.curation.heldout import HELDOUT_FILE, heldout_documents

UNKNOWN_LANGUAGE: Final = "und"

TrainingText = Mapping[str, Callable[[], Iterable[tuple[bytes, str, str]]]]
"""Per corpus, a way to read its training documents as (id, text, language)."""


@dataclass(frozen=True)
class Heldout:
    """Documents of one corpus."""

    corpus: str
    texts: list[str]
    languages: list[str]
    bytes: list[int]
    """UTF-8 length of each text."""

    @property
    def total_bytes(self) -> int:
        return sum(self.bytes)


def read_heldout(corpus: str, folder: Path, maximum_bytes: int | None = None) -> Heldout:
    """Whole documents until `maximum_bytes` is reached, in the documents' order.

    Which ones is decided by the hashes of their texts, as where the trainer scores a part: the first ones would be of
    the source that comes first, and its languages alone.

    Raises:
        NotPossibleError: the file holds no documents.
        EvaluationError: it counts bytes other than its text's.
        CurationError: it is missing or damaged.
    """
    path = folder / HELDOUT_FILE
    documents = list(heldout_documents(folder))
    if not documents:
        raise NotPossibleError(
            f"heldout/{corpus} holds no documents: raise the held-out share of {corpus} in the profile, or leave it out"
        )
    if maximum_bytes is not None:
        by_hash = sorted(range(len(documents)), key=lambda place: documents[place].doc_id)
        sizes = itertools.accumulate((documents[place].size for place in by_hash), initial=0)
        chosen = {place for place, before in zip(by_hash, sizes, strict=False) if before < maximum_bytes}
        documents = [document for place, document in enumerate(documents) if place in chosen]
    for number, document in enumerate(documents):
        size = len(document.text.encode("utf-8"))
        if size != document.size:
            raise EvaluationError(
                f"{path}: document {number} says it has {document.size:,} bytes, its text has {size:,}; "
                f"materialize heldout/{corpus} again"
            )
    return Heldout(
        corpus,
        texts=[document.text for document in documents],
        languages=[document.lang or UNKNOWN_LANGUAGE for document in documents],
        bytes=[document.size for document in documents],
    )


def encode_exactly(tokenizer: Any, heldout: Heldout) -> list[list[int]]:
    """Token ids of every document, without end-of-text.

    Bits per byte compares tokenizers only where the tokens hold the whole text, so one whose round trip fails on any
    document is refused.

    Raises:
        NotPossibleError: naming the first document that does not come back byte for byte.
    """
    import pyarrow as pa

    encoded = tokenizer.encode_arrow(pa.array(heldout.texts, pa.large_string())).to_pylist()
    for number, (text, ids) in enumerate(zip(heldout.texts, encoded, strict=True)):
        back = tokenizer.decode_bytes(ids)
        data = text.encode("utf-8")
        if back != data:
            same = min(len(data), len(back))
            at = next((i for i in range(same) if data[i] != back[i]), same)
            raise NotPossibleError(
                f"bits per byte is not defined for this tokenizer: document {number} of heldout/{heldout.corpus} does "
                f"not come back from its tokens ({len(data):,} bytes became {len(back):,}; the first difference is "
                f"at byte {at}, {data[at : at + 12]!r} became {back[at : at + 12]!r}). Use a byte-level tokenizer, or "
                "leave the bits_per_byte suites out"
            )
    return encoded


@dataclass(frozen=True)
class Prefix:
    """Training text of a corpus that a compressor is given before the held-out one."""

    languages: Mapping[str, bytes]
    """Documents joined, by language."""
    corpus_bytes: int
    """Bytes of all its training text."""


def training_prefix(training: TrainingText, corpus: str, maximum_bytes: int) -> Prefix:
    """`maximum_bytes` bytes of a corpus's training documents, or all of them where they are fewer.

    Where they are more, those with the smallest ids are taken, which are hashes of their texts, so that they are of all
    sources and languages as the corpus is; the last of them is cut. They are joined in the corpus's order, in which
    what is alike lies near. No more than these bytes and a document are held.
    """
    heap: list[tuple[int, int, str, bytes]] = []  # the greatest id first
    total = held = 0
    if maximum_bytes and corpus in training:
        for number, (doc_id, text, lang) in enumerate(training[corpus]()):
            data = text.encode("utf-8")
            total += len(data)
            place = -int.from_bytes(doc_id, "big")
            if held >= maximum_bytes and place <= heap[0][0]:
                continue
            heapq.heappush(heap, (place, -number, lang or UNKNOWN_LANGUAGE, data))
            held += len(data)
            while held - len(heap[0][3]) >= maximum_bytes:
                held -= len(heapq.heappop(heap)[3])
    if held > maximum_bytes:
        place, number, lang, data = heap[0]
        heap[0] = (place, number, lang, data[: len(data) - (held - maximum_bytes)])
    parts: dict[str, list[bytes]] = {}
    for _, _, lang, data in sorted(heap, key=lambda item: -item[1]):
        parts.setdefault(lang, []).append(data)
    return Prefix({lang: b"".join(items) for lang, items in parts.items()}, total)
