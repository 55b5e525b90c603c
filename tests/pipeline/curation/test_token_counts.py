"""Counts over tokens, found from the few places that matter, are those of a plain look at each token."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.signals.repetition import _Crowds, repetition
from pipeline.curation.signals.sentences import Sentences
from pipeline.curation.text.words import tokenize

TEXTS = st.lists(st.lists(st.sampled_from(["a", "b", "ab", ".", "!", ")", "(", "…", "c."]), max_size=30))


@given(TEXTS)
def test_a_sentence_begins_with_a_text_and_with_the_first_word_after_an_end(words: list[list[str]]) -> None:
    tokens = tokenize([" ".join(some) for some in words], english=True)
    expected = []
    for start, stop in pairwise(tokens.offsets.tolist()):
        count, ended = int(stop > start), False
        for place in range(start, stop):
            if tokens.sentence_end[place]:
                ended = True
            elif ended and not tokens.punctuation[place]:
                count, ended = count + 1, False
        expected.append(count)
    assert Sentences(tokens).count(tokens.offsets).tolist() == expected


@given(TEXTS)
def test_pairs_and_fives_that_repeat_are_those_that_a_plain_count_finds(words: list[list[str]]) -> None:
    words = [[word for word in some if word.isalpha()] for some in words]
    texts = [" ".join(some) for some in words]
    found = repetition(tokenize(texts, english=True), np.array([len(text) for text in texts], dtype=np.int64))
    for row, (some, text) in enumerate(zip(words, texts, strict=True)):
        pairs = Counter(pairwise(some))
        (top, count), *_ = pairs.most_common(1) or [((), 0)]
        assert found["top_2gram"][row] == len(" ".join(top)) * count / max(1, len(text))
        seen: set[str] = set()
        place = repeated = 0
        while place + 5 <= len(some):
            gram = "".join(some[place : place + 5])
            repeated += len(gram) * (gram in seen)
            place += 5 if gram in seen else 1
            seen.add(gram)
        assert found["repeated_5gram"][row] == repeated / max(1, len(text))


@given(st.lists(st.integers(0, 40)), st.integers(0, 58))
def test_every_value_that_occurs_twice_is_among_the_crowded(values: list[int], shift: int) -> None:
    crowds = _Crowds()
    counts = Counter(values)
    for _ in range(2):  # the second time in tables that were used
        found = crowds(np.array(values, dtype=np.uint64) << np.uint64(shift)).tolist()
        assert {place for place, value in enumerate(values) if counts[value] > 1} <= set(found)
