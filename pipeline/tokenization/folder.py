"""The folder of a tokenizer: what is in it, how it is written, how it is read back.

    squeeze_tokenizer.json   the card: kind, vocabulary size, end-of-text id, content hash, the specification
    tokenizer.json           for `tokenizers` and transformers' AutoTokenizer (all kinds that have one)
    tokenizer_config.json    for AutoTokenizer
    ranks.tiktoken           byte-level BPE: tiktoken's rank file, where ranks say the same as the merges
    tokenizer.model          sentencepiece

A folder is self-contained: it is read without the specification, the archive or the mixture it came from.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import TokenizerError
from pipeline.base.files import whole_file, write_text
from pipeline.tokenization.encoders.byte_level import ByteLevelTokenizer
from pipeline.tokenization.encoders.hugging_face import HuggingFaceTokenizer
from pipeline.tokenization.encoders.sentence_piece import SentencePieceTokenizer
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.formats.card import CARD_NAME, TokenizerCard

ENCODERS: Final[dict[str, type[Tokenizer]]] = {
    encoder.kind: encoder for encoder in (ByteLevelTokenizer, HuggingFaceTokenizer, SentencePieceTokenizer)
}
"""What reads a folder, by the kind on its card."""


def is_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer."""
    return (folder / CARD_NAME).is_file()


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder written by this package.

    Raises TokenizerError where the folder holds none, was written by a newer version, or does not give the content
    hash on its card.
    """
    card = TokenizerCard.read(folder)
    if card.kind not in ENCODERS:
        raise TokenizerError(
            f"{folder / CARD_NAME} has kind {card.kind!r}; this release reads {', '.join(ENCODERS)}. Build the "
            "tokenizer again, or use the release that wrote it."
        )
    tokenizer = ENCODERS[card.kind].read(folder, card)
    if tokenizer.content_hash != card.content_hash:
        raise TokenizerError(
            f"{folder} is damaged: its files hash to {tokenizer.content_hash}, its {CARD_NAME} says "
            f"{card.content_hash}. Delete the folder and build the tokenizer again."
        )
    return tokenizer


def write_tokenizer(out: Path, tokenizer: Tokenizer, spec: dict[str, Any]) -> tuple[str, ...]:
    """Write a tokenizer's folder, its card last; what a reader should know of the files, such as why one is missing.

    spec: the identity of the specification that the tokenizer came from.
    """
    exported = tokenizer.export()
    for name, data in exported.files.items():
        with whole_file(out / name) as file:
            file.write(data)
    if "tokenizer.json" in exported.files:
        _write_auto_config(out, tokenizer.end_of_text)
    card = TokenizerCard(
        kind=tokenizer.kind,
        vocab_size=tokenizer.vocab_size,
        eot_id=tokenizer.eot_id,
        end_of_text=tokenizer.end_of_text,
        dtype=tokenizer.dtype,
        content_hash=tokenizer.content_hash,
        spec=spec,
        details=exported.details,
    )
    card.write(out)
    return exported.notes


def _write_auto_config(out: Path, end_of_text: str) -> None:
    """`tokenizer_config.json`, by which `transformers.AutoTokenizer` loads `tokenizer.json` without remote code."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": end_of_text,
        "eos_token": end_of_text,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1_000_000_000,
    }
    write_text(out / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
