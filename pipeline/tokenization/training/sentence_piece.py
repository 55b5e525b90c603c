"""The kinds of sentencepiece: `sentencepiece` loads a published model, `sentencepiece_bpe` and `_unigram` train one.

sentencepiece itself trains, on the mixture's sample. Byte fallback spells what has no piece, so every text has ids.
Runs of spaces are kept, and a dummy space is put first, so that a word has one piece wherever it stands. The trainer
takes lines, the longest ones in parts: a line break is the byte piece <0x0A>.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Final, Literal

from pydantic import Field

from pipeline.base.errors import TokenizerError
from pipeline.tokenization.encoders.sentence_piece import SentencePieceTokenizer
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.training.specification import (
    BYTES,
    Inputs,
    PinnedFile,
    Specification,
    TrainedSpecification,
    VocabularySizeError,
)

LONGEST_LINE: Final = 1 << 16
"""Bytes. The trainer leaves longer lines out without a word, and its unigram kind loses all precision in a line of
100,000 characters, so they are cut."""
END_OF_TEXT: Final = "</s>"


class SentencepieceSpec(Specification):
    """Any sentencepiece model."""

    kind: Literal["sentencepiece"]
    end_of_text: str = Field(END_OF_TEXT, min_length=1)
    file: PinnedFile

    def build(self, inputs: Inputs) -> tuple[Tokenizer, list[str]]:
        model = inputs.read(self.file)
        return SentencePieceTokenizer(model, self.end_of_text, where=inputs.where(self.file)), []


class SentencepieceTrainedSpec(TrainedSpecification):
    """A sentencepiece model trained here, with byte fallback so that every text has ids."""

    kind: Literal["sentencepiece_bpe", "sentencepiece_unigram"]
    end_of_text: str = Field(END_OF_TEXT, min_length=1)
    character_coverage: float = Field(0.9995, gt=0.9, le=1.0)
    """Share of the text's characters that get a piece of their own; the rest are spelled in bytes."""
    normalization: Literal["identity", "nfkc", "nmt_nfkc"] = "identity"
    """sentencepiece's normalisation rule; all but identity change the text for good."""
    split_digits: bool = True
    """Every digit is a piece of its own."""
    threads: int = Field(2, ge=1, le=128)
    """Threads of the trainer. Part of the identity: the unigram trainer's result depends on it."""

    def build(self, inputs: Inputs) -> tuple[Tokenizer, list[str]]:
        model = train_sentencepiece(inputs.name, self, self.texts(inputs))
        return SentencePieceTokenizer(model, self.end_of_text, where=f"tokenizer {inputs.name}"), []


def train_sentencepiece(name: str, spec: SentencepieceTrainedSpec, texts: Iterator[str]) -> bytes:
    """The trained model's bytes, the same for the same text and threads.

    Raises VocabularySizeError where the vocabulary is smaller than the alphabet or larger than the text can fill.
    """
    import sentencepiece

    model = io.BytesIO()
    lines = (part for text in texts for line in text.split("\n") if line for part in short_enough(line))
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type=spec.kind.removeprefix("sentencepiece_"),
            vocab_size=spec.vocab_size,
            character_coverage=spec.character_coverage,
            normalization_rule_name=spec.normalization,
            split_digits=spec.split_digits,
            num_threads=spec.threads,
            byte_fallback=True,
            unk_id=0,
            eos_id=1,
            eos_piece=spec.end_of_text,
            bos_id=-1,
            pad_id=-1,
            add_dummy_prefix=True,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            max_sentence_length=LONGEST_LINE,
            input_sentence_size=0,
            shuffle_input_sentence=False,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explained(name, spec, str(error)) from error
    return model.getvalue()


def short_enough(line: str) -> Iterator[str]:
    """The line in parts of at most `LONGEST_LINE` bytes, cut before blanks where there are any."""
    most = LONGEST_LINE // 4  # characters, of at most four bytes each
    start = 0
    while len(line) - start > most:
        blank = line.rfind(" ", start + 1, start + most)
        stop = blank if blank > 0 else start + most
        yield line[start:stop]
        start = stop
    yield line[start:]


def _explained(name: str, spec: SentencepieceTrainedSpec, message: str) -> TokenizerError:
    """What sentencepiece says, in the words of a specification."""
    said = f"tokenizer {name}: vocab_size is {spec.vocab_size:,}"
    high = re.search(r"set it to a value <= (\d+)", message)
    if high:
        return VocabularySizeError(
            f"{said}, but the sample fills only {int(high[1]):,}. Set vocab_size to that or less, or give the mixture "
            "more text."
        )
    low = re.search(r"required_chars\. (\d+) vs (\d+)", message)
    if low:
        return VocabularySizeError(
            f"{said}, smaller than the alphabet: {int(low[2]):,} rows go to the characters of the sample, the {BYTES} "
            "bytes and the special tokens. Raise vocab_size or lower character_coverage."
        )
    return TokenizerError(f"tokenizer {name}: sentencepiece cannot train it: {message}")
