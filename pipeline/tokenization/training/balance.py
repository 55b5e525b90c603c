"""The rule of the language-balanced sample: how much of each language, which pieces of text, and how they are cut.

A language's share of the sample is its bytes to the power of 1 / temperature, over all corpora together (Arivazhagan
et al. 2019); what a small language cannot fill goes to the others. Which pieces of text are taken is decided by a
hash of document and piece, so it depends on neither the order of the corpora nor anyone's random state. Long
documents are cut into pieces first: a book taken or left whole would decide a language's share by luck.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

PIECE_CHARACTERS: Final = 8_000
KEY: Final = b"squeeze-tokenizer-sample"


def language_targets(
    available: Mapping[str, int], total: int, temperature: float, limits: Mapping[str, int] | None = None
) -> dict[str, float]:
    """Bytes to take of each language: shares ∝ bytes ** (1 / temperature), no more than its limit (or all it has).

    What a language cannot fill is shared out among the others in the same proportions, until `total` or everything
    is taken.
    """
    limits = available if limits is None else limits
    weights = {lang: available[lang] ** (1 / temperature) for lang, limit in limits.items() if limit}
    targets = dict.fromkeys(available, 0.0)
    left = float(min(total, sum(limits.values())))
    while weights:
        unit = left / sum(weights.values())
        full = [lang for lang, weight in weights.items() if weight * unit >= limits[lang]]
        if not full:
            targets.update({lang: weight * unit for lang, weight in weights.items()})
            break
        for lang in full:
            targets[lang] = float(limits[lang])
            left -= limits[lang]
            del weights[lang]
    return targets


def pieces_of(text: str, size: int = PIECE_CHARACTERS) -> Iterator[str]:
    """The text in pieces of about `size` characters, cut before white space so that no word is split."""
    start = 0
    while len(text) - start > size:
        cut = start + size
        while cut < len(text) and not text[cut].isspace():
            cut += 1
        yield text[start:cut]
        start = cut
    if start < len(text):
        yield text[start:]


def is_taken(identity: bytes, rate: float) -> bool:
    """Whether a piece is in a sample of the given rate: a hash of its identity against the rate."""
    digest = hashlib.blake2b(identity, digest_size=8, key=KEY).digest()
    return int.from_bytes(digest, "little") < rate * 2**64
