"""MinHash signatures (Broder 1997) over the sets of word 5-grams: what near duplicates are proposed by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from pipeline.curation.text.words import shingles, word_hashes

MINHASH_PERMUTATIONS: Final = 112
SHINGLE_WORDS: Final = 5
_SEED: Final = 1


def minhash(texts: Sequence[str]) -> np.ndarray:
    """MinHash signatures (uint32 [N, 112]) over the sets of word 5-grams."""
    return signatures(*word_hashes(texts))


def signatures(hashes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The same of texts given as hashes of their words (uint64), one after the other, and their offsets."""
    from rensa import RMinHash

    values, ends = shingles(hashes, offsets, SHINGLE_WORDS)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(values, ends.astype(np.uint64), MINHASH_PERMUTATIONS, _SEED)
    return np.array(matrix.to_rows(), dtype="<u4").reshape(-1, MINHASH_PERMUTATIONS)
