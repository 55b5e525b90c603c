"""`comparison.json`: what was measured of every candidate, in all and on each corpus and language.

In: the measurements. Out: the file, and the same rows read back; the choice is made from them. Nothing in it differs
between two builds of the same comparison: speeds are not here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from pipeline.base.canonical import text_hash
from pipeline.base.errors import TokenizerError
from pipeline.base.files import write_text
from trainer.records import read_record

COMPARISON_FILE: Final = "comparison.json"
FORMAT: Final = "squeeze-tokenizer-comparison"
VERSION: Final = 1


@dataclass(frozen=True)
class Group:
    """One candidate on the held-out documents of one corpus and language."""

    tokenizer: str
    corpus: str
    lang: str
    documents: int
    bytes: int
    characters: int
    words: int
    """Runs of non-space."""
    tokens: int
    bytes_per_token: float
    tokens_per_word: float
    round_trip_failures: int
    """Documents that decoding does not give back byte for byte."""
    parity: float | None = None
    """Tokens per character against English over all corpora; None: there is no English."""


@dataclass(frozen=True)
class Candidate:
    """One candidate over all groups, with what its vocabulary costs."""

    compared_bytes: int
    compared_tokens: int
    bytes_per_token: float
    tokens_per_word: float
    round_trip_failures: int
    compared_documents: int
    vocab_size: int
    vocabulary_used: float
    """Share of the rows that occur in the mixture's sample."""
    rare_rows: int
    """Rows that occur in it less than `rare_below` times."""
    rare_below: int
    sample_tokens: int
    embedding_parameters: int
    embedding_share: float
    training_tokens: int
    """Of one pass over the curated text, as are `training_flops`."""
    training_flops: float
    content_hash: str
    kind: str
    dtype: str
    reference: str
    bulk_path: str
    proxy_bits_per_byte: float | None = None
    """Of a small training run; None: none was made."""
    relative_cost: float = 1.0
    """Its FLOPs against those of the cheapest candidate."""


@dataclass(frozen=True)
class Comparison:
    """Everything `comparison.json` says."""

    tokenizers: dict[str, Candidate]
    groups: list[Group]

    def write(self, folder: Path) -> str:
        """Write `comparison.json`; the SHA-256 of its text."""
        record = {"format": FORMAT, "version": VERSION, **asdict(self)}
        text = json.dumps(record, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        write_text(folder / COMPARISON_FILE, text)
        return text_hash(text)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The comparison in a folder. Raises TokenizerError where its `comparison.json` is missing or malformed."""
        path = folder / COMPARISON_FILE
        what, cure = "a comparison of tokenizers", "build `tokenizer_comparison` again"
        return read_record(path, cls, TokenizerError, what=what, cure=cure)
