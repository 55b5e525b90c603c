r"""One- and two-digit pieces on a fast path that knows `\p{N}{1,3}` alone, with the same ids.

The schemes differ inside a run of numbers and nowhere else: no other piece holds a digit. So the fast path gets the
three-digit pattern and the vocabulary without its merges of digits, and every ASCII digit comes back as a token of its
own. Those are the ids of `digits: 1`; for `digits: 2` they are then merged in pairs from each run's start, where the
vocabulary has the merge. A document in which a number that is not ASCII (Devanagari digits, ½) stands next to another
number goes to the reference: its pieces hold several bytes a digit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.arrow import list_array, list_parts
from pipeline.tokenization.encoders.tokenizer import BulkEncoder
from pipeline.tokenization.formats.byte_level_vocabulary import BytePairs
from pipeline.tokenization.formats.patterns import PATTERNS, pattern_for

NEXT_TO_A_NUMBER: Final = r"[^\P{N}0-9]\p{N}|\p{N}[^\P{N}0-9]"
_REGROUPED: Final = {
    pattern_for(name, digits): (name, digits) for name, digits in [("cl100k", 2), ("o200k", 1), ("o200k", 2)]
}  # cl100k with one digit is a pattern of gigatoken's own

Encoder = Callable[[pa.Array], pa.Array]


def needs_detour(pattern: str) -> bool:
    """Whether the fast path does not know a pattern, but its `three_digit_form`."""
    return pattern in _REGROUPED


def three_digit_form(pairs: BytePairs) -> BytePairs:
    """The vocabulary for the fast path, without merges of digits, of one that `needs_detour`."""
    merges = [(left, right) for left, right in pairs.merges if not (left.isdigit() and right.isdigit())]
    return replace(pairs, pattern=PATTERNS[_REGROUPED[pairs.pattern][0]], merges=merges)


def regroup(pairs: BytePairs, singles: BulkEncoder, reference: Encoder) -> BulkEncoder:
    """The encoder of `pairs`, from one over its `three_digit_form` and the reference."""
    _, digits = _REGROUPED[pairs.pattern]
    ids = {token: i for i, token in pairs.tokens.items()}
    value_of = np.full(pairs.vocab_size, -1, dtype=np.int8)
    value_of[[ids[b"%d" % value] for value in range(10)]] = np.arange(10)
    merged = np.full((10, 10), -1, dtype=np.int64)
    for left, right in pairs.merges:
        if len(left) == len(right) == 1 and left.isdigit() and right.isdigit():
            merged[int(left), int(right)] = ids[left + right]

    def encode(texts: pa.Array) -> pa.Array:
        encoded = singles(texts)
        if digits == 2:
            encoded = _pair(encoded, value_of, merged)
        rows = np.flatnonzero(np.asarray(pc.match_substring_regex(texts, NEXT_TO_A_NUMBER)))
        if len(rows):
            place = np.arange(len(texts))
            place[rows] = len(texts) + np.arange(len(rows))
            encoded = pa.concat_arrays([encoded, reference(texts.take(pa.array(rows)))]).take(pa.array(place))
        return encoded

    return encode


def _pair(lists: pa.Array, value_of: np.ndarray, merged: np.ndarray) -> pa.Array:
    """Neighbouring single digits as one token, in pairs from the start of each run within a document."""
    offsets, values = list_parts(lists)
    at = np.flatnonzero(value_of[values] >= 0)
    if not len(at):
        return lists
    starts = np.zeros(len(values) + 1, dtype=bool)
    starts[offsets] = True
    begins = np.ones(len(at), dtype=bool)
    begins[1:] = (np.diff(at) != 1) | starts[at[1:]]
    order = np.arange(len(at))
    in_run = order - np.maximum.accumulate(np.where(begins, order, 0))
    # the first of a pair: an even place in its run, and the next digit is of the same run
    first = np.flatnonzero((in_run[:-1] % 2 == 0) & ~begins[1:])
    pair = merged[value_of[values[at[first]]], value_of[values[at[first + 1]]]]
    first, pair = first[pair >= 0], pair[pair >= 0]
    out = values.copy()
    out[at[first]] = pair
    kept = np.ones(len(values), dtype=bool)
    kept[at[first + 1]] = False
    removed = np.concatenate([[0], np.cumsum(~kept)])
    return list_array(offsets - removed[offsets], out[kept], str(values.dtype))
