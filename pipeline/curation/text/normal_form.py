"""Unicode's normal forms, in time that grows with the text.

In: text and the name of a form. Out: exactly what `unicodedata.normalize` gives. That sorts the marks after a letter by
insertion, so 100,000 marks in a row (a "zalgo" text, a broken file) take it minutes; here a long run of them is sorted
first, after which the insertions have nothing to do.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from typing import Literal

_MARK = r"(?:[^\x00-\x7f\w\s]|[\uff9e\uff9f])"
"""Every mark is in this class; the two letters become marks in the compatibility forms."""
_RUN = re.compile(f"{_MARK}{{64,}}+")
_STEP = 32
_TWO = re.compile(_MARK * 2)
"""What a long run is in every `_STEP`th character of the text, which are found sooner."""


def normal_form(form: Literal["NFC", "NFKC"], text: str) -> str:
    """`unicodedata.normalize(form, text)`."""
    if text.isascii():
        return text
    if _TWO.search(text[::_STEP]) is not None:
        decomposed: Literal["NFD", "NFKD"] = "NFD" if form == "NFC" else "NFKD"
        text = _RUN.sub(lambda run: _marks_in_order(decomposed, run[0]), text)
    return unicodedata.normalize(form, text)


def _marks_in_order(form: Literal["NFD", "NFKD"], run: str) -> str:
    """The run decomposed, with the marks between two starters in the order of their combining classes."""
    characters = "".join(unicodedata.normalize(form, character) for character in run)
    stretches = groupby(characters, key=lambda character: unicodedata.combining(character) == 0)
    return "".join("".join(sorted(stretch, key=unicodedata.combining)) for _, stretch in stretches)
