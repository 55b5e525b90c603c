"""Any `tokenizer.json` of Hugging Face's `tokenizers`, encoded by that library.

Special tokens' text is ordinary text: the reference is told so (`encode_special_tokens`), and the fast path gets the
same file without its special tokens. No post-processor adds tokens, and nothing is truncated or padded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import from_rows
from pipeline.base.canonical import text_hash
from pipeline.base.errors import TokenizerError
from pipeline.tokenization.encoders.bulk import bulk_encoder
from pipeline.tokenization.encoders.tokenizer import BulkEncoder, Export, Tokenizer, checked_text, reference_batches
from pipeline.tokenization.formats.byte_level_vocabulary import CHARACTER_TO_BYTE, from_characters
from pipeline.tokenization.formats.card import AGAIN, TokenizerCard
from pipeline.tokenization.formats.sentence_piece_json import piece_bytes

RUST_PANIC: Final = "PanicException"
"""Class of what a library in Rust raises for a fault of its own: no `Exception`, and of no module one could import."""


class HuggingFaceTokenizer(Tokenizer):
    """A `tokenizer.json`, whole, as its text."""

    kind: ClassVar[str] = "tokenizer_json"

    def __init__(self, data: str, end_of_text: str, *, where: str = "tokenizer.json") -> None:
        from tokenizers import Tokenizer as Reference

        self.data = data
        try:
            self._json: dict[str, Any] = json.loads(data)
            reference = Reference.from_str(data)
        except BaseException as error:  # `tokenizers` raises bare Exception for what it cannot read, or panics
            if not isinstance(error, Exception) and type(error).__name__ != RUST_PANIC:
                raise
            raise TokenizerError(f"{where} is not a tokenizer.json that `tokenizers` reads: {error}") from error
        reference.no_truncation()
        reference.no_padding()
        reference.encode_special_tokens = True
        self._reference = reference
        vocab: dict[str, int] = reference.get_vocab(with_added_tokens=True)
        if end_of_text not in vocab:
            special = [token["content"] for token in self._json.get("added_tokens", []) if token["special"]]
            raise TokenizerError(
                f"{where} has no end-of-text token {end_of_text!r}; set `end_of_text` in the specification to one of "
                f"its special tokens ({', '.join(special[:8]) or 'it has none'})"
            )
        self._tokens = {i: token for token, i in vocab.items()}
        identity = {key: value for key, value in self._json.items() if key not in ("truncation", "padding")}
        basis = json.dumps([identity, end_of_text], sort_keys=True, separators=(",", ":"))
        super().__init__(
            vocab_size=max(self._tokens) + 1,
            eot_id=vocab[end_of_text],
            end_of_text=end_of_text,
            content_hash=text_hash(basis),
        )

    @classmethod
    def read(cls, folder: Path, card: TokenizerCard) -> Self:
        path = folder / "tokenizer.json"
        try:
            text = path.read_text(encoding="utf-8")
        except ValueError as error:
            raise TokenizerError(f"{path}: not UTF-8 ({error}); {AGAIN}") from None
        return cls(text, card.end_of_text, where=str(path))

    def export(self) -> Export:
        return Export({"tokenizer.json": self.data.encode()})

    @property
    def reference_name(self) -> str:
        return f"tokenizers {version('tokenizers')}"

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._reference.encode(checked_text(text), add_special_tokens=False).ids
        return ids

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        unknown = [i for i in ids if i not in self._tokens]
        if unknown:
            raise TokenizerError(f"id {unknown[0]} is outside the vocabulary of {self.vocab_size:,}")
        table = self._bytes if self._is_byte_level() else None
        if table is not None:
            return b"".join([table[i] for i in ids])
        text: str = self._reference.decode(list(ids), skip_special_tokens=False)
        return text.encode("utf-8", errors="replace")

    def token_bytes(self) -> list[bytes] | None:
        return None if self._bytes is None else list(self._bytes)

    @cached_property
    def _bytes(self) -> list[bytes] | None:
        byte_level = self._is_byte_level()
        if not byte_level and not self._json["model"].get("byte_fallback"):
            return None
        table = [b""] * self.vocab_size
        added = {token["id"] for token in self._json.get("added_tokens", [])}
        for i, token in self._tokens.items():
            if i in added or (byte_level and not set(token) <= CHARACTER_TO_BYTE.keys()):
                table[i] = token.encode()
            elif byte_level:
                table[i] = from_characters(token)
            else:
                table[i] = piece_bytes(token)
        return table

    def decode_arrow(self, lists: pa.Array) -> pa.Array:
        if self._is_byte_level():
            return super().decode_arrow(lists)
        return pa.array([self.decode_bytes(ids) for ids in lists.to_pylist()], pa.large_binary())

    def reference_arrow(self, texts: pa.Array) -> pa.Array:
        rows: list[np.ndarray] = []
        for batch in reference_batches(texts):
            encodings = self._reference.encode_batch_fast(batch, add_special_tokens=False)
            rows.extend(np.array(encoding.ids, dtype=self.dtype) for encoding in encodings)
        return from_rows(rows, self.dtype)

    def _is_byte_level(self) -> bool:
        decoder = self._json.get("decoder") or {}
        return bool(decoder.get("type") == "ByteLevel")

    def _make_bulk(self) -> BulkEncoder:
        import gigatoken

        ordinary = [token for token in self._json.get("added_tokens", []) if not token["special"]]
        plain = json.dumps({**self._json, "added_tokens": ordinary, "truncation": None, "padding": None})
        return bulk_encoder(lambda: gigatoken.Tokenizer.from_json(plain), self.dtype)
