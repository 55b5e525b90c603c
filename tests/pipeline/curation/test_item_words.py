"""Texts that hold enough words of an item in a row are found, by whatever place and length, and no others."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.item_words import ItemWords

WORDS = st.lists(st.sampled_from([*"abcd", "7"]), max_size=24)


def longest_shared(item: list[str], text: list[str], size: int) -> bool:
    """By comparing every place with every other: a run of `size` equal words, a letter in as much as is shared."""
    for i in range(len(item)):
        for j in range(len(text)):
            if i and j and item[i - 1] == text[j - 1]:
                continue
            run = 0
            while i + run < len(item) and j + run < len(text) and item[i + run] == text[j + run]:
                run += 1
            if run >= size and any(word.isalpha() for word in item[i : i + run]):
                return True
    return False


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4), st.integers(5, 9), st.integers(3, 6))
def test_what_is_found_is_what_comparing_every_place_finds(items, texts, ngram, shortest):
    words = ItemWords([(str(number), " ".join(item)) for number, item in enumerate(items)], ngram, shortest)
    wanted = {
        number
        for number, text in enumerate(texts)
        for item in items
        if min(ngram, len(item)) >= shortest and longest_shared(item, text, min(ngram, len(item)))
    }
    assert set(words.shared_with([" ".join(text) for text in texts])) == wanted


@pytest.mark.parametrize("place", [0, 1, 5, 9, 17, 26, 27])
def test_any_thirteen_words_in_a_row_are_enough_and_twelve_are_not(place):
    item = [f"word{number}" for number in range(40)]
    words = ItemWords([("quiz 1", " ".join(item))], 13, 6)
    texts = [" ".join(["before", *item[place : place + size], "after"]) for size in (12, 13, 20)]
    found = words.shared_with(texts)
    assert found.keys() == {1, 2}
    assert found[1] == f"quiz 1: {' '.join(item[place : place + 13])}"


def test_no_run_goes_on_from_one_text_or_item_into_the_next():
    item = "one two three four five six seven eight"
    words = ItemWords([("a", item), ("b", "nine ten eleven twelve thirteen fourteen fifteen sixteen")], 13, 6)
    assert words.shared_with(["one two three four", "five six seven eight"]) == {}
    assert words.shared_with(["five six seven eight nine ten eleven twelve"]) == {}
    assert words.shared_with(["", item, ""]) == {1: f"a: {item}"}


def test_digits_alone_and_items_that_are_short_are_not_looked_for():
    words = ItemWords([("numbers", "1 2 3 4 5 6 7 8"), ("short", "one two three")], 13, 6)
    assert len(words) == 1
    assert words.shared_with(["1 2 3 4 5 6 7 8", "one two three"]) == {}
    assert ItemWords([], 13, 6).shared_with(["any text"]) == {}


def test_many_items_that_begin_alike_are_told_apart():
    draw = random.Random(3)
    ends = [[draw.choice("abcdefgh") for _ in range(8)] for _ in range(200)]
    items = [(str(number), f"which of these is the answer {' '.join(end)}") for number, end in enumerate(ends)]
    (found,) = ItemWords(items, 13, 6).shared_with([f"so {items[77][1]} it is"]).values()
    assert found.startswith("77: which of these is the answer ")
