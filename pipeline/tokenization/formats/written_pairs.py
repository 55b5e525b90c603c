"""A byte-level vocabulary as it was written, taken apart once a machine and not once a process.

In: the bytes of a `tokenizer.json` that `BytePairs` wrote and a hash vouches for. Out: what encoders want of it, which
is its text without the special token, or its ranks. Taking those from the JSON weighs as much as encoding 10 MB of
text; they are kept as tables that are mapped (`pipeline.base.made_once`). The tables hold nothing of a library's, so
their key names the file and the code that makes them, and no other release makes them stale. What encoders make of
them, hash tables inside tiktoken and gigatoken, neither library can write out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline.base.made_once import made_once
from pipeline.tokenization.formats.byte_level_vocabulary import BytePairs, from_characters

TABLES_VERSION: Final = "1"
LEAST_BYTES: Final = 200_000
"""A file that is smaller is taken apart as fast as tables are found."""


class Tables(NamedTuple):
    """What encoders want of a vocabulary: views of one stretch of bytes."""

    eot_id: int
    ids: np.ndarray
    """Of the tokens without the special one, uint32 [N], in the file's order."""
    ends: np.ndarray
    """Where each ends in `tokens`, uint32 [N]."""
    tokens: memoryview
    """Their bytes, one after the other."""
    ordinary_json: memoryview
    """The file without its special token, UTF-8, on one line."""


@dataclass(frozen=True)
class WrittenPairs:
    """A `tokenizer.json` that `BytePairs` wrote, taken apart only as far as it is asked for.

    Raises ValueError, KeyError or TypeError for another file, at any property.
    """

    data: bytes
    pattern: str
    end_of_text: str
    vocab_size: int
    sha256: str | None = None
    """Of `data`, in hexadecimal; none where it is not known, and nothing is kept."""

    @cached_property
    def pairs(self) -> BytePairs:
        """All of it."""
        return BytePairs.from_tokenizer_json(
            self.data, pattern=self.pattern, end_of_text=self.end_of_text, vocab_size=self.vocab_size
        )

    @property
    def eot_id(self) -> int:
        return self._tables.eot_id

    @property
    def count(self) -> int:
        """Tokens without the special one."""
        return len(self._tables.ids)

    def ranks(self) -> dict[bytes, int]:
        """As `BytePairs.ranks`."""
        tokens, ends = bytes(self._tables.tokens), [0, *self._tables.ends.tolist()]
        pieces = (tokens[start:end] for start, end in pairwise(ends))
        return dict(zip(pieces, self._tables.ids.tolist(), strict=True))

    def ordinary_json(self) -> str:
        """As `BytePairs.ordinary_json`."""
        return str(self._tables.ordinary_json, "utf-8")

    @cached_property
    def _tables(self) -> Tables:
        if self.sha256 is None or len(self.data) < LEAST_BYTES:
            return unpack(memoryview(pack(self.data, self.end_of_text)))
        key = (TABLES_VERSION, self.sha256, self.end_of_text)
        return unpack(made_once("vocabularies", key, lambda: pack(self.data, self.end_of_text)))


def pack(data: bytes, end_of_text: str) -> bytes:
    """The tables of a `tokenizer.json`: five numbers (int64), then the arrays in the order of `Tables`."""
    file: dict[str, Any] = json.loads(data)
    vocab = {token: i for token, i in file["model"]["vocab"].items() if token != end_of_text}
    pieces = [from_characters(token) for token in vocab]
    model = {**file["model"], "vocab": vocab}
    ordinary = json.dumps({**file, "added_tokens": [], "model": model}, ensure_ascii=False) + "\n"
    eot_id = int(file["model"]["vocab"][end_of_text])
    ends = np.fromiter(accumulate(map(len, pieces)), "<u4", len(pieces))
    parts = [np.fromiter(vocab.values(), "<u4", len(vocab)).tobytes(), ends.tobytes(), b"".join(pieces)]
    parts.append(ordinary.encode())
    return np.array([eot_id, *map(len, parts)], "<i8").tobytes() + b"".join(parts)


def unpack(packed: memoryview) -> Tables:
    """The inverse of `pack`, without a copy."""
    eot_id, *sizes = np.frombuffer(packed, "<i8", 5).tolist()
    stops = list(accumulate(sizes, initial=5 * 8))
    ids, ends, tokens, ordinary = (packed[start:stop] for start, stop in pairwise(stops))
    return Tables(eot_id, np.frombuffer(ids, "<u4"), np.frombuffer(ends, "<u4"), tokens, ordinary)
