"""A tokenizer in few bytes, to lie beside a model's weights in one file: arrays by name, and a text that says the rest.

In: a tokenizer. Out: byte arrays and a JSON text from which `read_compact` makes one with the same content hash. A
byte-level BPE is its merges as pairs of ids: bytes and tokens follow from them where ids are numbered as training here
numbers them. Any other tokenizer is the one file of its folder that holds it whole.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from pipeline.base.errors import TokenizerError
from pipeline.tokenization.encoders.byte_level import ByteLevelTokenizer
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.folder import ENCODERS
from pipeline.tokenization.formats.byte_level_vocabulary import BytePairs
from pipeline.tokenization.formats.card import TokenizerCard
from trainer.records import check, parse_json

MERGES: Final = "tokenizer.merges"
BYTES: Final = "tokenizer.bytes"
FILE: Final = "tokenizer.file."
WHOLE_IN: Final = ("tokenizer.model", "tokenizer.json")
"""Files that hold a tokenizer whole, the smaller first."""
HASH_DIGITS: Final = 16


@dataclass(frozen=True)
class CompactCard:
    """What the arrays do not say."""

    kind: str
    vocab_size: int
    eot_id: int
    end_of_text: str
    content_hash: str
    """Its first digits."""
    details: dict[str, str]
    """What the kind needs to read its files."""


def to_compact(tokenizer: Tokenizer) -> tuple[str, dict[str, np.ndarray]]:
    """The card as JSON, and uint8 arrays by name. Raises TokenizerError for a kind without a file that holds it."""
    exported = tokenizer.export()
    card = CompactCard(
        tokenizer.kind,
        tokenizer.vocab_size,
        tokenizer.eot_id,
        tokenizer.end_of_text,
        tokenizer.content_hash[:HASH_DIGITS],
        {name: text for name, text in exported.details.items() if not name.endswith("sha256")},
    )
    arrays = _merges(tokenizer.pairs) if isinstance(tokenizer, ByteLevelTokenizer) else None
    if arrays is None:
        name = next((name for name in WHOLE_IN if name in exported.files), None)
        if name is None:
            raise TokenizerError(f"a tokenizer of kind {tokenizer.kind!r} has none of {', '.join(WHOLE_IN)}")
        arrays = {FILE + name: np.frombuffer(exported.files[name], np.uint8)}
    return json.dumps(asdict(card), ensure_ascii=False, separators=(",", ":")), arrays


def read_compact(text: str, arrays: Mapping[str, np.ndarray]) -> Tokenizer:
    """The tokenizer that `to_compact` took apart. Raises TokenizerError where it does not come back the same."""
    try:
        card = check(CompactCard, parse_json(text))
        tokenizer = _from_merges(card, arrays) if MERGES in arrays else _from_file(card, arrays)
    except (ValueError, KeyError, IndexError) as error:
        raise TokenizerError(f"the tokenizer inside the file is damaged ({error}); write the file again") from None
    if not tokenizer.content_hash.startswith(card.content_hash):
        raise TokenizerError("the tokenizer inside the file is damaged: it hashes otherwise; write the file again")
    return tokenizer


def _merges(pairs: BytePairs) -> dict[str, np.ndarray] | None:
    """The merges as byte planes of ids, and the byte of each of the first 256 ids; none where ids follow another rule.

    Low and high bytes lie apart, which compressors make more of.
    """
    first = [pairs.tokens.get(i, b"") for i in range(256)]
    made = [pairs.tokens.get(256 + i) for i in range(len(pairs.merges))]
    if sorted(first) != [bytes([byte]) for byte in range(256)] or len(pairs.tokens) != 256 + len(pairs.merges):
        return None
    if made != [left + right for left, right in pairs.merges]:
        return None
    ids = {token: i for i, token in pairs.tokens.items()}
    wide = np.array([[ids[left], ids[right]] for left, right in pairs.merges], dtype="<u4").reshape(-1, 2)
    planes = wide.T.copy().view(np.uint8).reshape(2, -1, 4).transpose(0, 2, 1)
    used = 1 + max((place for place in range(4) if planes[:, place].any()), default=0)
    return {MERGES: np.ascontiguousarray(planes[:, :used]), BYTES: np.frombuffer(b"".join(first), np.uint8)}


def _from_merges(card: CompactCard, arrays: Mapping[str, np.ndarray]) -> Tokenizer:
    kind: Any = Literal["tokenizers", "tiktoken"]
    reference: Literal["tokenizers", "tiktoken"] = check(kind, card.details["reference"])
    planes = arrays[MERGES]
    ids = sum(planes[:, place].astype(np.int64) << 8 * place for place in range(planes.shape[1]))
    tokens = {i: bytes([byte]) for i, byte in enumerate(arrays[BYTES].tolist())}
    merges = []
    for left, right in np.asarray(ids).T.tolist():
        merges.append((tokens[left], tokens[right]))
        tokens[len(tokens)] = tokens[left] + tokens[right]
    pairs = BytePairs(tokens, merges, card.details["pattern"], card.end_of_text, card.eot_id, card.vocab_size)
    return ByteLevelTokenizer(pairs, reference=reference)


def _from_file(card: CompactCard, arrays: Mapping[str, np.ndarray]) -> Tokenizer:
    """By the reader of its kind's folder, which wants the file in one."""
    name = next(name for name in WHOLE_IN if FILE + name in arrays)
    facts = {"dtype": "", "spec": {}, **asdict(card)}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(arrays[FILE + name].tobytes())
        return ENCODERS[card.kind].read(Path(folder), TokenizerCard(**facts))
