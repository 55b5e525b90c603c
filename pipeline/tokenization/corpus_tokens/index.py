"""`tokens.json`: what a corpus's token store holds, written last, so that a folder with one is a whole store.

In: counts of what was encoded. Out: the file, and the same counts read back; nothing else reads or writes it. Split
into `train` and `heldout`, which never share a file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from pipeline.base.errors import ShardError
from pipeline.base.files import write_text
from trainer.data.shards import DTYPE_BYTES, TokenizerRef
from trainer.records import check, read_json, reason

INDEX_NAME: Final = "tokens.json"
FORMAT: Final = "squeeze-tokens"
VERSION: Final = 1

Split = Literal["train", "heldout"]


@dataclass(frozen=True)
class FileCounts:
    """One Arrow file of the store."""

    path: str
    """Relative to the store's folder."""
    documents: int
    tokens: int
    bytes: int


@dataclass(frozen=True)
class SplitCounts:
    """The training or the held-out documents."""

    documents: int
    tokens: int
    """The end-of-text tokens included."""
    bytes: int
    """UTF-8 text."""
    files: tuple[FileCounts, ...]

    @classmethod
    def of(cls, files: tuple[FileCounts, ...]) -> Self:
        """The files' counts added up."""
        return cls(
            documents=sum(file.documents for file in files),
            tokens=sum(file.tokens for file in files),
            bytes=sum(file.bytes for file in files),
            files=files,
        )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Raises KeyError or TypeError where `data` is not the JSON of such counts."""
        return cls(**{**data, "files": tuple(FileCounts(**file) for file in data["files"])})


@dataclass(frozen=True)
class TokenStoreIndex:
    """Everything `tokens.json` says."""

    corpus: str
    tokenizer: TokenizerRef
    encoder: str
    """The path that encoded: gigatoken, or the reference and why."""
    train: SplitCounts
    heldout: SplitCounts
    content_hash: str

    def split(self, name: Split) -> SplitCounts:
        """The counts of one split."""
        return self.train if name == "train" else self.heldout

    def write(self, folder: Path) -> None:
        """Write `tokens.json` into the store's folder."""
        record = {"format": FORMAT, "version": VERSION, **asdict(self)}
        write_text(folder / INDEX_NAME, json.dumps(record, indent=2, sort_keys=True) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a store's `tokens.json`. Raises ShardError where it is missing, malformed or of another format."""
        path = folder / INDEX_NAME
        again = "materialize its tokens again"
        data = read_json(path, ShardError, what="a token store", cure=again)
        try:
            kind, version = data.pop("format"), data.pop("version")
            if (kind, version) != (FORMAT, VERSION):
                raise ShardError(f"{path}: format {kind!r} version {version!r}, expected {FORMAT} {VERSION}")
            index = check(cls, data)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ShardError(f"{path}: not a token store ({reason(error)}); {again}") from None
        if index.tokenizer.dtype not in DTYPE_BYTES:
            raise ShardError(f"{path}: tokens of type {index.tokenizer.dtype!r}, known: {', '.join(DTYPE_BYTES)}")
        return index
