"""The mixture's sample as a tokenizer's trainer reads it: whole, or at the tokenizer's own language balance or size.

A specification with its own temperature gets half the sample's bytes, drawn again by the mixture's rule with the
sample as all there is: a language's share is its bytes in the corpora to the power of 1 / temperature, and what the
sample does not hold of a language goes to the others. One with `sample_bytes` gets as many, of every language the same
share: for trainers whose time or memory grows faster than the text. So a new specification never changes the mixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipeline.base.errors import TokenizerError
from pipeline.base.parquet import reading
from pipeline.tokenization.training.balance import is_taken, language_targets
from pipeline.tokenization.training.mixture import SAMPLE_FILE, Mixture

OWN_BALANCE_SHARE: Final = 0.5


def sample_texts(mixture: Path, temperature: float | None = None, size: int | None = None) -> Iterator[str]:
    """The sample's pieces of text, in order; with a temperature, those of that balance; about `size` bytes at most.

    Raises TokenizerError where the mixture's folder has no sample.
    """
    import pyarrow.parquet as pq

    path = mixture / SAMPLE_FILE
    if not path.is_file():
        raise TokenizerError(f"the mixture has no sample: {path} does not exist; build `mixture` again")
    rates = None if temperature is None and size is None else balance_rates(mixture, temperature, size)
    with reading(path, TokenizerError), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["text", "lang"]):
            texts = batch.column("text").to_pylist()
            if rates is None:
                yield from texts
                continue
            for text, lang in zip(texts, batch.column("lang").to_pylist(), strict=True):
                if is_taken(b"balance" + text.encode(), rates[lang]):
                    yield text


def balance_rates(mixture: Path, temperature: float | None, size: int | None = None) -> dict[str, float]:
    """Share of each language's pieces in the sample that a tokenizer with this temperature and size trains on."""
    languages = Mixture.read(mixture).languages
    available = {lang: row.bytes for lang, row in languages.items()}
    sampled = {lang: row.sample_bytes for lang, row in languages.items()}
    targets: dict[str, float] = dict(sampled)
    if temperature is not None:
        targets = language_targets(
            available, int(sum(sampled.values()) * OWN_BALANCE_SHARE), temperature, limits=sampled
        )
    scale = 1.0 if size is None else min(1.0, size / max(1.0, sum(targets.values())))
    return {lang: scale * targets[lang] / sampled[lang] if sampled[lang] else 0.0 for lang in sampled}
