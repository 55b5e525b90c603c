"""The normal forms are Unicode's, also where marks stand in long rows."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.text.normal_form import normal_form

MARKS = "\u0301\u0323\u0302\u0327\u0344\u0345\u05b0\u094d\u0f71\u0f73\u0f81\u20dd\u3099\uff9e"


@given(st.lists(st.text(alphabet=MARKS, max_size=100) | st.sampled_from("eか한ﷺ a"), max_size=6))
def test_the_form_is_unicodes(pieces: list[str]) -> None:
    text = "e" + "".join(pieces) * 3
    assert normal_form("NFC", text) == unicodedata.normalize("NFC", text)
    assert normal_form("NFKC", text) == unicodedata.normalize("NFKC", text)
