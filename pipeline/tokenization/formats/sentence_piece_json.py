"""A sentencepiece model as a `tokenizer.json`, which transformers' AutoTokenizer loads without sentencepiece.

The model file is a protocol buffer (sentencepiece_model.proto); the few fields needed are read here, since the
generated parser in the package demands a newer protobuf than others allow. The export is kept only if `tokenizers`
gives sentencepiece's ids on texts chosen to tell the two apart. (Text that spells a control or byte piece, such as
`<0x41>`, is the one thing that `tokenizers` cannot read as a unigram model of sentencepiece does.) Spaces are handled
as sentencepiece does, with no pre-tokenizer, because it merges across a whole line.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

BYTE_PIECE: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")
UNIGRAM, BPE = 1, 2
UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
PROBES: Final = (
    "The old wolf sang, and the 12,345 hens didn't.\nNew line\n\n  two spaces   three\ttab ",
    " leading", "trailing  ", " ", "", "a",
    "été naïve — “quotes”…", "Привет, мир! 世界 こんにちは नमस्ते مرحبا \U0001f600",
    "<|endoftext|> <s <br> [INST]", "ﬁ ① ½ ｆｕｌｌ", "x = y[0] + f(z) // 3;",
)  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """One row of a sentencepiece vocabulary."""

    text: str
    score: float
    type: int


@dataclass(frozen=True)
class SentencePieceModel:
    """What of a model file decides ids."""

    pieces: list[Piece]
    model_type: int
    byte_fallback: bool
    charsmap: bytes
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool

    @classmethod
    def parse(cls, data: bytes) -> SentencePieceModel:
        """Read a model file."""
        pieces, trainer, normalizer = [], {}, {}
        for field, value in _fields(data):
            if field == 1:
                row = dict(_fields(value))
                score = struct.unpack("<f", row.get(2, b"\0\0\0\0"))[0]
                pieces.append(Piece(row[1].decode(), score, row.get(3, 1)))
            elif field == 2:
                trainer = dict(_fields(value))
            elif field == 3:
                normalizer = dict(_fields(value))
        return cls(
            pieces=pieces,
            model_type=trainer.get(3, UNIGRAM),
            byte_fallback=bool(trainer.get(35, 0)),
            charsmap=normalizer.get(2, b""),
            add_dummy_prefix=bool(normalizer.get(3, 1)),
            remove_extra_whitespaces=bool(normalizer.get(4, 1)),
        )


def piece_bytes(piece: str) -> bytes:
    """What a piece stands for: `<0x41>` for that byte, U+2581 for a space, anything else for itself."""
    byte = BYTE_PIECE.fullmatch(piece)
    return bytes.fromhex(byte[1]) if byte else piece.replace("▁", " ").encode()


def export_tokenizer_json(
    model: SentencePieceModel, encode: Callable[[str], list[int]]
) -> tuple[str | None, str | None]:
    """The `tokenizer.json`, or None and why there is none. `encode` gives sentencepiece's ids of a text."""
    from tokenizers import Tokenizer

    if model.model_type not in (UNIGRAM, BPE):
        return None, "no tokenizer.json: the model is neither unigram nor BPE"
    data = tokenizer_json(model)
    try:
        exported = Tokenizer.from_str(data)
    except Exception as error:  # `tokenizers` raises bare Exception
        return None, f"no tokenizer.json: `tokenizers` does not read it ({error})"
    exported.encode_special_tokens = True
    for text in PROBES:
        if exported.encode(text, add_special_tokens=False).ids != encode(text):
            return None, f"no tokenizer.json: `tokenizers` would give other ids than sentencepiece for {text[:30]!r}"
    return data, None


def tokenizer_json(model: SentencePieceModel, *, special: bool = True) -> str:
    """The model in `tokenizers`' format. `special=False` leaves control pieces out, so that no text can become one."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [
        {"id": i, "content": piece.text, **flags, "special": piece.type in (UNKNOWN, CONTROL)}
        for i, piece in enumerate(model.pieces)
        if piece.type == USER_DEFINED or (special and piece.type in (UNKNOWN, CONTROL))
    ]
    unknown = next((i for i, piece in enumerate(model.pieces) if piece.type == UNKNOWN), None)
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if model.add_dummy_prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    data = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(model)},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": _bpe(model, unknown) if model.model_type == BPE else _unigram(model, unknown),
    }
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"


def _normalizers(model: SentencePieceModel) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if model.charsmap:
        charsmap = base64.b64encode(model.charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if model.remove_extra_whitespaces:
        steps.append({"type": "Strip", "strip_left": True, "strip_right": True})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    if model.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": "▁"})
    return [*steps, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]


def _unigram(model: SentencePieceModel, unknown: int | None) -> dict[str, Any]:
    # control pieces have a score of 0, the best of all; the lowest keeps the price of an unknown character as it is
    lowest = min(piece.score for piece in model.pieces)
    vocab = [[piece.text, lowest if piece.type in (UNKNOWN, CONTROL) else piece.score] for piece in model.pieces]
    return {"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": model.byte_fallback}


def _bpe(model: SentencePieceModel, unknown: int | None) -> dict[str, Any]:
    vocab = {piece.text: i for i, piece in enumerate(model.pieces)}
    ordinary = {piece.text: i for i, piece in enumerate(model.pieces) if piece.type == 1}
    merges: list[tuple[float, int, int, int]] = []
    for text, i in ordinary.items():
        splits = [(text[:at], text[at:]) for at in range(1, len(text))]
        pairs = [(ordinary[left], ordinary[right]) for left, right in splits if left in ordinary and right in ordinary]
        # sentencepiece merges the pair whose result scores best; which split made it does not matter to it
        merges.extend((-model.pieces[i].score, i, left, right) for left, right in pairs)
    texts = [piece.text for piece in model.pieces]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": texts[unknown] if unknown is not None else None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": model.byte_fallback,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": [[texts[left], texts[right]] for _, _, left, right in sorted(merges)],
    }


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Fields of a protocol buffer message: varints as int, everything else as bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        wire = key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield key >> 3, value
            continue
        size, position = _varint(data, position) if wire == 2 else ({1: 8, 5: 4}[wire], position)
        yield key >> 3, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
