"""The held-out documents a model is scored on: read once, encoded, and checked to come back byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import EvaluationError
from pipeline.curation.heldout import HELDOUT_FILE, heldout_documents

UNKNOWN_LANGUAGE: Final = "und"

TrainingText = Mapping[str, Callable[[], Iterable[tuple[str, str]]]]
"""Per corpus, a way to read its training documents as (text, language), in order."""


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
    """Whole documents from the first on, until `maximum_bytes` is reached.

    Raises:
        EvaluationError: the file holds no documents, or counts bytes other than its text's.
        CurationError: the file is missing or damaged.
    """
    path = folder / HELDOUT_FILE
    texts: list[str] = []
    languages: list[str] = []
    sizes: list[int] = []
    taken = 0
    for document in heldout_documents(folder):
        if maximum_bytes is not None and taken >= maximum_bytes:
            break
        size = len(document.text.encode("utf-8"))
        if size != document.size:
            raise EvaluationError(
                f"{path}: document {len(texts)} says it has {document.size:,} bytes, its text has {size:,}; "
                f"materialize heldout/{corpus} again"
            )
        texts.append(document.text)
        languages.append(document.lang or UNKNOWN_LANGUAGE)
        sizes.append(size)
        taken += size
    if not texts:
        raise EvaluationError(
            f"{path} holds no documents: raise the held-out share of {corpus} in the profile, or leave it out"
        )
    return Heldout(corpus, texts, languages, sizes)


def encode_exactly(tokenizer: Any, heldout: Heldout) -> list[list[int]]:
    """Token ids of every document, without end-of-text.

    Bits per byte compares tokenizers only where the tokens hold the whole text, so one whose round trip fails on any
    document is refused.

    Raises:
        EvaluationError: naming the first document that does not come back byte for byte.
    """
    import pyarrow as pa

    encoded = tokenizer.encode_arrow(pa.array(heldout.texts, pa.large_string())).to_pylist()
    for number, (text, ids) in enumerate(zip(heldout.texts, encoded, strict=True)):
        back = tokenizer.decode_bytes(ids)
        data = text.encode("utf-8")
        if back != data:
            same = min(len(data), len(back))
            at = next((i for i in range(same) if data[i] != back[i]), same)
            raise EvaluationError(
                f"bits per byte is not defined for this tokenizer: document {number} of heldout/{heldout.corpus} does "
                f"not come back from its tokens ({len(data):,} bytes became {len(back):,}; the first difference is "
                f"at byte {at}, {data[at : at + 12]!r} became {back[at : at + 12]!r}). Use a byte-level tokenizer, or "
                "leave the bits_per_byte suites out"
            )
    return encoded


def training_prefix(training: TrainingText, corpus: str, maximum_bytes: int) -> dict[str, bytes]:
    """The first `maximum_bytes` bytes of a corpus's training documents, joined, per language."""
    parts: dict[str, list[bytes]] = {}
    taken = 0
    if maximum_bytes and corpus in training:
        for text, lang in training[corpus]():
            data = text.encode("utf-8")[: maximum_bytes - taken]
            parts.setdefault(lang or UNKNOWN_LANGUAGE, []).append(data)
            taken += len(data)
            if taken >= maximum_bytes:
                break
    return {lang: b"".join(items) for lang, items in parts.items()}
