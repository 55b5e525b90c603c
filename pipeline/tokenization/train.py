"""Training a byte-level BPE on the mixture's sample.

The reference trainer is `tokenizers`'. No special token takes part in training, so a text that spells the
end-of-text token trains like any other text; the token gets the last id afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import TokenizerError
from pipeline.tokenization.patterns import pattern_for
from pipeline.tokenization.specs import BYTES, BpeSpec
from pipeline.tokenization.vocabulary import BytePairs, from_characters


def train_bpe(name: str, spec: BpeSpec, texts: Iterator[str]) -> BytePairs:
    """Train the specified byte-level BPE.

    Raises TokenizerError where the text has too few pairs to fill the vocabulary.
    """
    pattern = pattern_for(spec.pattern, spec.digits)
    wanted = spec.vocab_size - 1
    data = _train_reference(pattern, wanted, spec.min_frequency, texts)
    model = json.loads(data)["model"]
    tokens = {i: from_characters(token) for token, i in model["vocab"].items()}
    merges = [(from_characters(left), from_characters(right)) for left, right in model["merges"]]
    if len(tokens) < wanted:
        raise TokenizerError(
            f"tokenizer {name}: vocab_size is {spec.vocab_size:,}, but the sample fills only {len(tokens) + 1:,}: "
            f"{BYTES} bytes, {len(merges):,} merges of pairs seen {spec.min_frequency} times or more, and the "
            f"end-of-text token. Set vocab_size to {len(tokens) + 1:,} or less, or give the mixture more text."
        )
    return BytePairs(tokens, merges, pattern, spec.end_of_text, wanted, spec.vocab_size)


def _train_reference(pattern: str, size: int, min_frequency: int, texts: Iterator[str]) -> str:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return str(tokenizer.to_str())


def sample_texts(sample: Path) -> Iterator[str]:
    """The pieces of text of a mixture's `sample.parquet`, in order."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(sample) as file:
        for batch in file.iter_batches(columns=["text"]):
            yield from batch.column("text").to_pylist()
