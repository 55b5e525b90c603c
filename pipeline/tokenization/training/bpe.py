r"""The kind `bpe`: a byte-level BPE trained on the mixture's sample.

The reference trainer is `tokenizers`'. gigatoken's is faster and knows one pattern, GPT-2's; it is used behind a gate:
on a part of the very sample both must learn the same merges in the same order, and its last merge must still be of a
pair seen often enough (it knows no minimum). Otherwise the reference trains, and the tokenizer's notes say why.

No special token takes part in training, so a text that spells the end-of-text token trains like any other text; the
token gets the last id afterwards. Very long pieces are cut before (`long_pieces`). Ids are the reference's: the bytes
in the order of their printable characters, then the merges.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Final, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.base.arrow import list_parts
from pipeline.tokenization.encoders.byte_level import ByteLevelTokenizer
from pipeline.tokenization.encoders.tokenizer import Tokenizer, bulk_name
from pipeline.tokenization.formats.byte_level_vocabulary import CHARACTER_TO_BYTE, BytePairs, from_characters
from pipeline.tokenization.formats.patterns import PATTERNS, pattern_for
from pipeline.tokenization.training.long_pieces import without_long_pieces
from pipeline.tokenization.training.specification import BYTES, Inputs, TrainedSpecification, VocabularySizeError

log = logging.getLogger(__name__)

GATE_CHARACTERS: Final = 500_000
GATE_VOCABULARY: Final = 1_500
DOCUMENT_END: Final = b"\xff"  # no UTF-8 text holds this byte
BATCH: Final = 4_000

Merges = list[tuple[bytes, bytes]]


class BpeSpec(TrainedSpecification):
    """Byte-level BPE (Sennrich et al. 2016 on bytes), trained here."""

    kind: Literal["bpe"]
    pattern: Literal["gpt2", "cl100k", "o200k"] = "cl100k"
    """The pre-tokenisation pattern."""
    digits: Literal[1, 2, 3] | None = None
    """Most digits in a piece; null is the pattern's own (3; whole numbers for gpt2, which takes no other)."""
    min_frequency: int = Field(2, ge=1)
    """A pair seen less often than this is not merged."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.vocab_size < BYTES + 1:
            raise ValueError(
                f"vocab_size is {self.vocab_size}, smaller than the alphabet: byte-level BPE needs {BYTES} bytes and "
                f"the end-of-text token, so at least {BYTES + 1}"
            )
        if self.pattern == "gpt2" and self.digits is not None:
            raise ValueError("pattern gpt2 takes whole numbers; for `digits` use cl100k or o200k")
        return self

    def build(self, inputs: Inputs) -> tuple[Tokenizer, list[str]]:
        pairs, note = train_bpe(inputs.name, self, self.texts(inputs))
        return ByteLevelTokenizer(pairs, reference="tokenizers"), [note]


def train_bpe(name: str, spec: BpeSpec, texts: Iterable[str]) -> tuple[BytePairs, str]:
    """The specified byte-level BPE, and which trainer trained it (and why, if not the faster one).

    Raises VocabularySizeError where the text has too few pairs to fill the vocabulary.
    """
    pattern = pattern_for(spec.pattern, spec.digits)
    wanted = spec.vocab_size - 1 - BYTES
    texts = list(without_long_pieces(texts, pattern))
    merges, note = None, f"trained by tokenizers: {bulk_name()} trains with the pattern gpt2 alone"
    if pattern == PATTERNS["gpt2"]:
        merges, note = _train_behind_gate(spec, wanted, texts)
    if merges is None:
        merges = train_reference(pattern, wanted, spec.min_frequency, texts)
    log.info("%s: %s", name, note)
    pairs = _pairs(merges, pattern, spec)
    filled = len(pairs.tokens) + 1
    if filled < spec.vocab_size:
        raise VocabularySizeError(
            f"tokenizer {name}: vocab_size is {spec.vocab_size:,}, but the sample fills only {filled:,}: {BYTES} "
            f"bytes, {len(merges):,} merges of pairs seen {spec.min_frequency} times or more, the end-of-text token. "
            f"Set vocab_size to {filled:,} or less, or give the mixture more text."
        )
    return pairs, note


def train_reference(pattern: str, merges: int, min_frequency: int, texts: Iterable[str]) -> Merges:
    """At most `merges` merges, by `tokenizers`; fewer where no pair is left that is frequent enough."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=BYTES + merges,
        min_frequency=min_frequency,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    learned = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(from_characters(left), from_characters(right)) for left, right in learned]


def train_bulk(merges: int, texts: Iterable[str]) -> Merges:
    """At most `merges` merges with GPT-2's pattern, by gigatoken, ties broken as `tokenizers` does."""
    import gigatoken

    data = DOCUMENT_END.join(text.encode() for text in texts)
    _, learned = gigatoken.train_bpe(data, BYTES + merges, [], separator=DOCUMENT_END)
    return [(bytes(left), bytes(right)) for left, right in learned]


def _train_behind_gate(spec: BpeSpec, wanted: int, texts: list[str]) -> tuple[Merges | None, str]:
    pattern = PATTERNS["gpt2"]
    step = max(1, sum(map(len, texts)) // GATE_CHARACTERS)
    excerpt = texts[::step]
    expected = train_reference(pattern, GATE_VOCABULARY, 2, excerpt)
    if train_bulk(len(expected), excerpt) != expected:
        return None, f"trained by tokenizers: {bulk_name()} learned other merges on a part of the sample"
    merges = train_bulk(wanted, texts)
    if len(merges) < wanted or not _frequent(spec, merges, texts):
        return None, f"trained by tokenizers: {bulk_name()} ran out of pairs seen {spec.min_frequency} times or more"
    size = sum(len(text.encode()) for text in excerpt)
    return merges, f"trained by {bulk_name()}: the same {len(expected):,} merges as tokenizers on {size / 1e6:.1f} MB"


def _frequent(spec: BpeSpec, merges: Merges, texts: list[str]) -> bool:
    """Whether the last pair was frequent enough. Nothing merges its token again, so it is there to be counted."""
    if not merges:
        return True
    pairs = _pairs(merges, PATTERNS["gpt2"], spec)
    tokenizer = ByteLevelTokenizer(pairs, reference="tokenizers")
    last, count = max(pairs.tokens), 0
    for start in range(0, len(texts), BATCH):
        encoded = tokenizer.encode_arrow(pa.array(texts[start : start + BATCH], pa.large_string()))
        count += int((list_parts(encoded)[1] == last).sum())
        if count >= spec.min_frequency:
            return True
    return False


def _pairs(merges: Merges, pattern: str, spec: BpeSpec) -> BytePairs:
    """Merges as a vocabulary. Two merges may make the same token; it has one row, as in `tokenizers`."""
    tokens = dict.fromkeys(bytes([CHARACTER_TO_BYTE[character]]) for character in sorted(CHARACTER_TO_BYTE))
    tokens.update(dict.fromkeys(left + right for left, right in merges))
    return BytePairs(dict(enumerate(tokens)), merges, pattern, spec.end_of_text, spec.vocab_size - 1, spec.vocab_size)
