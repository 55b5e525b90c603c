"""The folder of a tokenizer: what is in it, how it is written, how it is read back.

    squeeze_tokenizer.json   kind, vocabulary size, end-of-text id, content hash, the specification it came from
    tokenizer.json           for `tokenizers` and transformers' AutoTokenizer (all kinds that have one)
    tokenizer_config.json    for AutoTokenizer
    ranks.tiktoken           byte-level BPE: tiktoken's rank file, where ranks say the same as the merges
    tokenizer.model          sentencepiece

A folder is self-contained: it is read without the specification, the archive or the mixture it came from.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import TokenizerError
from pipeline.tokenization.encoders.byte_level import ByteLevelTokenizer, Reference
from pipeline.tokenization.encoders.hugging_face import HuggingFaceTokenizer
from pipeline.tokenization.encoders.sentence_piece import SentencePieceTokenizer
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.formats.byte_level_vocabulary import BytePairs
from pipeline.tokenization.formats.sentence_piece_json import export_tokenizer_json

FORMAT: Final = "squeeze-tokenizer"
VERSION: Final = 1
CARD: Final = "squeeze_tokenizer.json"


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder written by this package.

    Raises TokenizerError where the folder holds none, was written by a newer version, or does not give the content
    hash on its card.
    """
    path = folder / CARD
    if not path.is_file():
        raise TokenizerError(f"{folder} holds no tokenizer: there is no {CARD}")
    card = json.loads(path.read_text(encoding="utf-8"))
    if card.get("format") != FORMAT or card.get("version", 0) > VERSION:
        raise TokenizerError(
            f"{path} is {card.get('format')!r} version {card.get('version')}; this release reads {FORMAT} up to "
            f"version {VERSION}. Build the tokenizer again, or use the release that wrote it."
        )
    tokenizer = _read(folder, card)
    if tokenizer.content_hash != card["content_hash"]:
        raise TokenizerError(
            f"{folder} is damaged: its files hash to {tokenizer.content_hash}, its {CARD} says {card['content_hash']}. "
            "Delete the folder and build the tokenizer again."
        )
    return tokenizer


def _read(folder: Path, card: dict[str, Any]) -> Tokenizer:
    if card["kind"] == "byte_level_bpe":
        data = (folder / "tokenizer.json").read_bytes()
        pairs = BytePairs.from_tokenizer_json(
            data.decode("utf-8"),
            pattern=card["pattern"],
            end_of_text=card["end_of_text"],
            vocab_size=card["vocab_size"],
        )
        # the file's hash vouches for the content's, which takes as long to work out as encoding 20 MB
        whole = hashlib.sha256(data).hexdigest() == card.get("tokenizer_json_sha256")
        content_hash = card["content_hash"] if whole else None
        return ByteLevelTokenizer(pairs, reference=card["reference"], content_hash=content_hash)
    if card["kind"] == "tokenizer_json":
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        return HuggingFaceTokenizer(text, card["end_of_text"], where=str(folder / "tokenizer.json"))
    if card["kind"] == "sentencepiece":
        model = folder / "tokenizer.model"
        return SentencePieceTokenizer(model.read_bytes(), card["end_of_text"], where=str(model))
    raise TokenizerError(f"{folder / CARD} has kind {card['kind']!r}, which this release does not read")


def write_byte_level(out: Path, pairs: BytePairs, *, reference: Reference, spec: dict[str, Any]) -> ByteLevelTokenizer:
    """Write a byte-level BPE's folder and hand the tokenizer back."""
    data = pairs.tokenizer_json()
    write_text(out / "tokenizer.json", data)
    if pairs.ranks_agree:
        write_bytes(out / "ranks.tiktoken", pairs.rank_file())
    write_auto_config(out, pairs.end_of_text)
    tokenizer = ByteLevelTokenizer(pairs, reference=reference)
    digest = hashlib.sha256(data.encode()).hexdigest()
    write_card(out, tokenizer, spec, pattern=pairs.pattern, reference=reference, tokenizer_json_sha256=digest)
    return tokenizer


def write_hugging_face(out: Path, data: str, end_of_text: str, *, spec: dict[str, Any], where: str) -> Tokenizer:
    """Write the folder of a `tokenizer.json`, as it is, and hand the tokenizer back."""
    tokenizer = HuggingFaceTokenizer(data, end_of_text, where=where)
    write_text(out / "tokenizer.json", data)
    write_auto_config(out, end_of_text)
    write_card(out, tokenizer, spec)
    return tokenizer


def write_sentencepiece(
    out: Path, model: bytes, end_of_text: str, *, spec: dict[str, Any], where: str
) -> tuple[Tokenizer, str | None]:
    """Write a sentencepiece model's folder; the tokenizer, and why there is no `tokenizer.json` where there is none."""
    tokenizer = SentencePieceTokenizer(model, end_of_text, where=where)
    write_bytes(out / "tokenizer.model", model)
    data, why = export_tokenizer_json(tokenizer)
    if data is not None:
        write_text(out / "tokenizer.json", data)
        write_auto_config(out, end_of_text)
    write_card(out, tokenizer, spec)
    return tokenizer, why


def write_auto_config(out: Path, end_of_text: str) -> None:
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


def write_card(out: Path, tokenizer: Tokenizer, spec: dict[str, Any], **more: Any) -> None:
    """`squeeze_tokenizer.json`, written last: it is what makes the folder a tokenizer."""
    card = {
        "format": FORMAT,
        "version": VERSION,
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "eot_id": tokenizer.eot_id,
        "end_of_text": tokenizer.end_of_text,
        "dtype": tokenizer.dtype,
        "content_hash": tokenizer.content_hash,
        "spec": spec,
        **more,
    }
    write_text(out / CARD, json.dumps(card, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: another name first, then renamed."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file in one step: another name first, then renamed."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
