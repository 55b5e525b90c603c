"""A sentencepiece model, encoded by sentencepiece.

Lossy by design: U+2581 becomes a space, and most published models fold runs of spaces or normalise characters. The
comparison counts what does not come back. Control pieces (the end-of-text token among them) never come out of text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import from_rows
from pipeline.base.errors import TokenizerError
from pipeline.tokenization.encoders.bulk import bulk_encoder, kept_json
from pipeline.tokenization.encoders.tokenizer import BulkEncoder, Export, Tokenizer, checked_text, reference_batches
from pipeline.tokenization.formats.card import TokenizerCard
from pipeline.tokenization.formats.sentence_piece_json import (
    BPE,
    SentencePieceModel,
    export_tokenizer_json,
    piece_bytes,
    tokenizer_json,
)
from trainer.process.cores import core_count

if TYPE_CHECKING:
    import sentencepiece


class SentencePieceTokenizer(Tokenizer):
    """A `tokenizer.model`, whole, as its bytes."""

    kind: ClassVar[str] = "sentencepiece"

    def __init__(self, model: bytes, end_of_text: str, *, where: str = "tokenizer.model") -> None:
        import sentencepiece

        self.model = model
        try:
            processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise TokenizerError(f"{where} is not a sentencepiece model: {error}") from error
        self._processor: sentencepiece.SentencePieceProcessor = processor
        size = processor.get_piece_size()
        eot_id = processor.piece_to_id(end_of_text)
        if not 0 <= eot_id < size or processor.id_to_piece(eot_id) != end_of_text:
            control = [processor.id_to_piece(i) for i in range(size) if processor.is_control(i)]
            raise TokenizerError(
                f"{where} has no end-of-text token {end_of_text!r}; set `end_of_text` in the specification to one of "
                f"its control pieces ({', '.join(control[:8]) or 'it has none'})"
            )
        super().__init__(
            vocab_size=size,
            eot_id=eot_id,
            end_of_text=end_of_text,
            content_hash=hashlib.sha256(model + b"\0" + end_of_text.encode()).hexdigest(),
        )

    @classmethod
    def read(cls, folder: Path, card: TokenizerCard) -> Self:
        path = folder / "tokenizer.model"
        return cls(path.read_bytes(), card.end_of_text, where=str(path))

    def export(self) -> Export:
        data, why_not = export_tokenizer_json(SentencePieceModel.parse(self.model), self.encode)
        files = {"tokenizer.model": self.model} | ({} if data is None else {"tokenizer.json": data.encode()})
        return Export(files, notes=(why_not,) if why_not else ())

    @property
    def reference_name(self) -> str:
        return f"sentencepiece {version('sentencepiece')}"

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._processor.encode(checked_text(text))
        return ids

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        for i in ids:
            if not 0 <= i < self.vocab_size:
                raise TokenizerError(f"id {i} is outside the vocabulary of {self.vocab_size:,}")
        text: str = self._processor.decode(list(ids))
        return text.encode()

    @cached_property
    def _bytes(self) -> list[bytes]:
        return [self._piece_bytes(i) for i in range(self.vocab_size)]

    def token_bytes(self) -> list[bytes]:
        return list(self._bytes)

    def _piece_bytes(self, i: int) -> bytes:
        piece: str = self._processor.id_to_piece(i)
        if self._processor.is_byte(i):
            return piece_bytes(piece)
        if self._processor.is_control(i) or self._processor.is_unknown(i):
            return b""
        return piece.replace("▁", " ").encode()

    def decode_arrow(self, lists: pa.Array) -> pa.Array:
        # not the pieces' bytes in a row: the first space is not text, and only sentencepiece knows which ones are
        texts = self._processor.decode(lists.to_pylist()) if len(lists) else []
        return pa.array([text.encode() for text in texts], pa.large_binary())

    def reference_arrow(self, texts: pa.Array) -> pa.Array:
        rows: list[np.ndarray] = []
        for batch in reference_batches(texts):
            for ids in self._processor.encode(batch, num_threads=core_count()):
                rows.append(np.array(ids, dtype=self.dtype))
        return from_rows(rows, self.dtype)

    def _make_bulk(self) -> BulkEncoder:
        def ordinary() -> str:
            model = SentencePieceModel.parse(self.model)
            if model.model_type != BPE or not model.byte_fallback:
                raise TokenizerError("gigatoken takes sentencepiece models that are BPE with byte fallback, no others")
            return tokenizer_json(model, special=False)

        return bulk_encoder(kept_json(self.kind, self.model, ordinary), self.dtype)
