"""A byte-level BPE vocabulary as plain data, and the file formats the field keeps it in.

Three formats hold the same thing. A *rank file* (tiktoken) lists tokens as bytes with their rank; the rank is both
the id and the priority of the merge that makes the token. GPT-2's `vocab.bpe` lists merges in order of priority. A
`tokenizer.json` lists ids and merges. GPT-2 writes bytes as printable characters, and so does `tokenizer.json`.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from pipeline.base.canonical import text_hash
from pipeline.base.errors import TokenizerError
from trainer.records import check, parse_json


def _byte_characters() -> dict[int, str]:
    """GPT-2's printable stand-in for every byte (`bytes_to_unicode` in its encoder.py)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


BYTE_TO_CHARACTER = _byte_characters()
CHARACTER_TO_BYTE = {character: byte for byte, character in BYTE_TO_CHARACTER.items()}
# bytes that stand for themselves stay; those without a stand-in of their own become what latin-1 cannot write
_CHARACTER_TO_LATIN = dict.fromkeys(range(256), 65535) | {ord(c): byte for c, byte in CHARACTER_TO_BYTE.items()}


def to_characters(token: bytes) -> str:
    """A token's bytes in GPT-2's printable form."""
    return token.decode("latin-1").translate(BYTE_TO_CHARACTER)


def from_characters(token: str) -> bytes:
    """The bytes of a token in GPT-2's printable form. Raises KeyError for a character that stands for no byte."""
    try:
        return token.translate(_CHARACTER_TO_LATIN).encode("latin-1")
    except UnicodeEncodeError as error:
        raise KeyError(token[error.start]) from error


@dataclass(frozen=True)
class _Model:
    vocab: dict[str, int]
    merges: list[tuple[str, str]]


@dataclass(frozen=True)
class _File:
    """What is read of a `tokenizer.json`."""

    model: _Model


@dataclass(frozen=True)
class BytePairs:
    """A byte-level BPE tokenizer, whole: everything that decides an id.

    `tokens` maps ids to bytes without the end-of-text token and may leave ids out; `merges` is in order of priority.
    """

    tokens: dict[int, bytes]
    merges: list[tuple[bytes, bytes]]
    pattern: str
    end_of_text: str
    eot_id: int
    vocab_size: int

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over the content, the same whichever file it was read from."""
        basis = {
            "algorithm": "byte_level_bpe",
            "pattern": self.pattern,
            "end_of_text": self.end_of_text,
            "eot_id": self.eot_id,
            "vocab_size": self.vocab_size,
            "tokens": [[i, self.tokens[i].hex()] for i in sorted(self.tokens)],
            "merges": [[left.hex(), right.hex()] for left, right in self.merges],
        }
        return text_hash(json.dumps(basis, sort_keys=True, separators=(",", ":")))

    @property
    def ranks_agree(self) -> bool:
        """Whether ids order merges as priorities do, so that a rank file says the same as the merges.

        Not so where two merges make the same token, or where ids follow another order.
        """
        ids = {token: i for i, token in self.tokens.items()}
        made = [ids[left + right] for left, right in self.merges]
        return all(a < b for a, b in pairwise(made))

    def ranks(self) -> dict[bytes, int]:
        """Token to rank, as tiktoken takes them."""
        return {token: i for i, token in sorted(self.tokens.items())}

    def tokenizer_json(self) -> str:
        """The `tokenizer.json` of this vocabulary, byte for byte the same for the same content."""
        return json.dumps(self._as_json(with_end_of_text=True), ensure_ascii=False, indent=1) + "\n"

    def ordinary_json(self) -> str:
        """The same without the special token, so that no text can become it, and on one line, which is several times
        faster to write."""
        return json.dumps(self._as_json(with_end_of_text=False), ensure_ascii=False) + "\n"

    def _as_json(self, *, with_end_of_text: bool) -> dict[str, Any]:
        vocab = {to_characters(token): i for i, token in sorted(self.tokens.items())}
        special: dict[str, Any] = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        added = {"id": self.eot_id, "content": self.end_of_text, **special, "special": True}
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        split = {"type": "Split", "pattern": {"Regex": self.pattern}, "behavior": "Isolated", "invert": False}
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [added] if with_end_of_text else [],
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
            "post_processor": None,
            "decoder": byte_level | {"use_regex": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": vocab | ({self.end_of_text: self.eot_id} if with_end_of_text else {}),
                "merges": [[to_characters(left), to_characters(right)] for left, right in self.merges],
            },
        }

    def rank_file(self) -> bytes:
        """The tiktoken rank file: base64 token and rank a line. Only meaningful where `ranks_agree`."""
        lines = (base64.b64encode(token) + b" " + str(i).encode() for i, token in sorted(self.tokens.items()))
        return b"\n".join(lines) + b"\n"

    @classmethod
    def from_tokenizer_json(cls, data: bytes, *, pattern: str, end_of_text: str, vocab_size: int) -> BytePairs:
        """Read back what `tokenizer_json` wrote. Raises ValueError or KeyError for anything else."""
        model = check(_File, parse_json(data)).model
        eot_id = model.vocab.pop(end_of_text)
        tokens = {i: from_characters(token) for token, i in model.vocab.items()}
        merges = [(from_characters(left), from_characters(right)) for left, right in model.merges]
        return cls(tokens, merges, pattern, end_of_text, eot_id, vocab_size)


def parse_rank_file(data: bytes, *, where: str) -> dict[bytes, int]:
    """Token to rank of a tiktoken rank file. Raises TokenizerError naming the line."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(data.splitlines(), start=1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise TokenizerError(
                f"{where}, line {number}: {line[:40]!r} is not a base64 token and its rank; is it a rank file?"
            ) from error
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise TokenizerError(f"{where} has no token for {len(missing)} of the 256 bytes, the first 0x{missing[0]:02X}")
    return ranks


def parse_gpt2(vocab_bpe: bytes, encoder_json: bytes | None, *, where: str) -> dict[bytes, int]:
    """Token to rank of GPT-2's `vocab.bpe`, checked against its `encoder.json` where there is one.

    Raises TokenizerError where a line is no merge, or the two files disagree.
    """
    # GPT-2 numbers the bytes in the order of their printable characters
    ranks = {bytes([byte]): i for i, byte in enumerate(BYTE_TO_CHARACTER)}
    for number, line in enumerate(vocab_bpe.decode("utf-8").split("\n"), start=1):
        if not line or (number == 1 and line.startswith("#")):
            continue
        try:
            left, right = line.split(" ")
            ranks[from_characters(left) + from_characters(right)] = len(ranks)
        except (ValueError, KeyError) as error:
            raise TokenizerError(f"{where}, line {number}: {line[:40]!r} is not a merge of two tokens") from error
    if encoder_json is not None:
        encoder = json.loads(encoder_json)
        expected = {to_characters(token): rank for token, rank in ranks.items()}
        differing = [token for token, rank in expected.items() if encoder.get(token) != rank]
        if differing:
            raise TokenizerError(
                f"{where} and its encoder.json disagree on {len(differing)} tokens, the first {differing[0]!r}"
            )
    return ranks


def merges_of(ranks: dict[bytes, int], *, where: str) -> list[tuple[bytes, bytes]]:
    """The merges behind a rank file, in order of priority: each token split by the ranks below its own.

    Raises TokenizerError for a token that no pair of others makes: the ranks are not of a BPE.
    """
    merges: list[tuple[bytes, bytes]] = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) == 1:
            continue
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            pairs = [ranks.get(a + b, rank) for a, b in pairwise(parts)]
            best = min(pairs)
            if best >= rank:
                break
            i = pairs.index(best)
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        if len(parts) != 2:
            raise TokenizerError(f"{where}: token {token!r} (rank {rank}) is not a merge of two earlier tokens")
        merges.append((parts[0], parts[1]))
    return merges
