"""Byte-level BPE: exact round trips for any Unicode text, and ids equal to `tokenizers`' or tiktoken's.

Trained ones have `tokenizers` as their reference (it trained them), published rank files have tiktoken. The fast
path is gigatoken, made from a `tokenizer.json` without the special token, so that no text can become it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self, cast, get_args

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import from_rows
from pipeline.base.errors import TokenizerError
from pipeline.tokenization.encoders.bulk import bulk_encoder
from pipeline.tokenization.encoders.digits import needs_detour, regroup, three_digit_form
from pipeline.tokenization.encoders.tokenizer import BulkEncoder, Export, Tokenizer, checked_text, reference_batches
from pipeline.tokenization.formats.byte_level_vocabulary import BytePairs
from pipeline.tokenization.formats.card import AGAIN, CARD_NAME, TokenizerCard
from pipeline.tokenization.formats.written_pairs import WrittenPairs
from trainer.process.cores import core_count
from trainer.records import reason

if TYPE_CHECKING:
    import tiktoken
    import tokenizers

LARGEST_VOCABULARY: Final = 1 << 24
"""Beyond any model's table of embeddings: a card that says more is damaged."""
Reference = Literal["tokenizers", "tiktoken"]


class ByteLevelTokenizer(Tokenizer):
    """A byte-level BPE, trained here or published."""

    kind: ClassVar[str] = "byte_level_bpe"

    def __init__(
        self, vocabulary: BytePairs | WrittenPairs, *, reference: Reference, content_hash: str | None = None
    ) -> None:
        """`content_hash` is worked out where the caller does not know it."""
        self._vocabulary = vocabulary
        super().__init__(
            vocab_size=vocabulary.vocab_size,
            eot_id=vocabulary.eot_id,
            end_of_text=vocabulary.end_of_text,
            content_hash=content_hash or self.pairs.content_hash,
        )
        self.reference: Reference = reference

    @property
    def pairs(self) -> BytePairs:
        """The vocabulary, whole."""
        return self._vocabulary.pairs if isinstance(self._vocabulary, WrittenPairs) else self._vocabulary

    @classmethod
    def read(cls, folder: Path, card: TokenizerCard) -> Self:
        path = folder / "tokenizer.json"
        data = path.read_bytes()
        pattern, reference = (card.details.get(name) for name in ("pattern", "reference"))
        if pattern is None or reference not in get_args(Reference):
            raise TokenizerError(f"{folder / CARD_NAME}: pattern {pattern!r}, reference {reference!r}; {AGAIN}")
        digest = hashlib.sha256(data).hexdigest()
        written = WrittenPairs(data, pattern, card.end_of_text, card.vocab_size, digest)
        # the file's hash vouches for the content's, which takes as long to work out as encoding 20 MB
        whole = digest == card.details.get("tokenizer_json_sha256")
        try:
            count, _ = (written.count, written.eot_id) if whole else (len(written.pairs.tokens), written.pairs.eot_id)
        except (ValueError, KeyError, TypeError) as error:
            raise TokenizerError(f"{path}: not what its card says ({reason(error)}); {AGAIN}") from None
        if not count < card.vocab_size <= LARGEST_VOCABULARY:
            raise TokenizerError(
                f"{path}: {count:,} tokens, its card says {card.vocab_size:,} with those that stay free; {AGAIN}"
            )
        return cls(
            written if whole else written.pairs,
            reference=cast(Reference, reference),
            content_hash=card.content_hash if whole else None,
        )

    def export(self) -> Export:
        data = self.pairs.tokenizer_json().encode()
        ranks = {"ranks.tiktoken": self.pairs.rank_file()} if self.pairs.ranks_agree else {}
        digest = hashlib.sha256(data).hexdigest()
        return Export(
            {"tokenizer.json": data, **ranks},
            {"pattern": self.pairs.pattern, "reference": self.reference, "tokenizer_json_sha256": digest},
        )

    @property
    def reference_name(self) -> str:
        return f"{self.reference} {version(self.reference)}"

    @cached_property
    def _hugging_face(self) -> tokenizers.Tokenizer:
        from tokenizers import Tokenizer as HuggingFaceTokenizer

        try:
            return HuggingFaceTokenizer.from_str(self._vocabulary.ordinary_json())
        except Exception as error:  # `tokenizers` raises bare Exception for what it cannot read
            raise TokenizerError(f"its vocabulary and merges do not fit together ({error}); {AGAIN}") from error

    @cached_property
    def _tiktoken(self) -> tiktoken.Encoding:
        import tiktoken

        # no special tokens: their text is ordinary text here, whatever tiktoken's arguments say
        return tiktoken.Encoding(
            self.content_hash,
            pat_str=self._vocabulary.pattern,
            mergeable_ranks=self._vocabulary.ranks(),
            special_tokens={},
        )

    @cached_property
    def _bytes(self) -> list[bytes]:
        table = [b""] * self.vocab_size
        for i, token in self.pairs.tokens.items():
            table[i] = token
        table[self.eot_id] = self.end_of_text.encode()
        return table

    def encode(self, text: str) -> list[int]:
        checked = checked_text(text)
        if self.reference == "tiktoken":
            return self._tiktoken.encode_ordinary(checked)
        ids: list[int] = self._hugging_face.encode(checked, add_special_tokens=False).ids
        return ids

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        table = self._bytes
        for i in ids:
            if not 0 <= i < self.vocab_size:
                raise TokenizerError(f"id {i} is outside the vocabulary of {self.vocab_size:,} (0 to {len(table) - 1})")
        return b"".join([table[i] for i in ids])

    def token_bytes(self) -> list[bytes]:
        return list(self._bytes)

    def reference_arrow(self, texts: pa.Array) -> pa.Array:
        rows: list[np.ndarray] = []
        for batch in reference_batches(texts):
            if self.reference == "tiktoken":
                with ThreadPoolExecutor(core_count()) as pool:
                    encoded = pool.map(partial(self._tiktoken.encode_to_numpy, disallowed_special=()), batch)
                    rows.extend(ids.astype(self.dtype) for ids in encoded)
            else:
                encodings = self._hugging_face.encode_batch_fast(batch, add_special_tokens=False)
                rows.extend(np.array(encoding.ids, dtype=self.dtype) for encoding in encodings)
        return from_rows(rows, self.dtype)

    def _make_bulk(self) -> BulkEncoder:
        import gigatoken

        detour = three_digit_form(self.pairs) if needs_detour(self._vocabulary.pattern) else None
        data = (detour or self._vocabulary).ordinary_json()
        fast = bulk_encoder(lambda: gigatoken.Tokenizer.from_json(data), self.dtype)
        return regroup(self.pairs, fast, self.reference_arrow) if detour else fast
