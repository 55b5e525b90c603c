"""Text for a BPE trainer, without the pieces that no trainer is made for.

In: texts, and the pre-tokenisation pattern. Out: the same text in order, cut so that no piece (what the pattern keeps
together, and merges never leave) is longer than a bound. A trainer goes through all of a piece for every merge of a
pair in it: 70,000 Han characters without a mark, a base64 image or a rule of a page's length take part in nearly every
merge, which is minutes of work for a few kilobytes. Only pieces longer than the bound are cut, so text without them
trains the same merges as ever, and no token of use is longer than the bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

LONGEST_PIECE: Final = 128
_MAY_BE_LONGER = re.compile(rf"\S{{{LONGEST_PIECE}}}|\s{{{LONGEST_PIECE}}}")
"""No piece goes on from text to blanks; one may begin with a blank."""


def without_long_pieces(texts: Iterable[str], pattern: str) -> Iterator[str]:
    """The texts, those with a piece of more than `LONGEST_PIECE` characters in parts."""
    split: Any = None
    for text in texts:
        if _MAY_BE_LONGER.search(text) is None:
            yield text
            continue
        if split is None:
            from tokenizers import Regex, pre_tokenizers

            split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        begin = 0
        for _, (start, stop) in split.pre_tokenize_str(text):
            if stop - start > LONGEST_PIECE:
                if begin < start:
                    yield text[begin:start]
                for begin in range(start, stop - LONGEST_PIECE, LONGEST_PIECE):
                    yield text[begin : begin + LONGEST_PIECE]
                begin += LONGEST_PIECE
        yield text[begin:]
