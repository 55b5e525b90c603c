"""Tokens and words: cut by the whole rules, whatever was looked up before."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.text import english
from pipeline.curation.text.analysis import english_tokens, other_tokens, plain_word_hashes
from pipeline.curation.text.chunks import View, chunk_texts
from pipeline.curation.text.cutting import cut_texts
from pipeline.curation.text.english import _LONGEST_SUFFIX, EnglishTokenizer, english_tokenizer
from pipeline.curation.text.segments import words_of
from pipeline.curation.text.spelling import Spelled, word_features
from pipeline.curation.text.words import chunk_table, ngrams, tokenize, word_hashes

BLANKS = [chr(code) for code in range(0x110000) if chr(code).isspace()]
CHARACTERS = [*BLANKS, "\r\n", *"ab\r\n\n\u2028é€“漢の\u200b\ud800😀\u2030\u3001\u1681"]


@given(st.lists(st.lists(st.sampled_from(CHARACTERS), max_size=12).map("".join), max_size=6), st.integers(1, 20))
def test_texts_are_cut_where_python_cuts_lines_and_at_blanks(texts: list[str], block: int) -> None:
    found: list[list[list[str]]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.curation.text.cutting._BLOCK", block)
        for cut in cut_texts(text.encode("utf-8", errors="surrogatepass") for text in texts):
            assert len(set(cut.distinct)) == len(cut.distinct)
            chunks = [cut.distinct[place] for place in cut.which.tolist()]
            lines = [chunks[start:stop] for start, stop in pairwise(cut.line_chunks.tolist())]
            some = [lines[start:stop] for start, stop in pairwise(cut.text_lines.tolist())]
            wholes = [chunks[start:stop] for start, stop in pairwise(cut.text_chunks.tolist())]
            assert wholes == [[chunk for line in text for chunk in line] for text in some]
            found += some
    assert found == [[line.split() for line in text.splitlines()] for text in texts]


MARKS = st.lists(st.sampled_from([*'.,;:!?")”(“…-’', "'s", "--"]), max_size=3).map("".join)
CASES = "word Word WORD don't im Mr e.g a.m 60 5km 3.5 U.S I wörd it’s a/b".split()
ENGLISH = st.builds("{}{}{}".format, MARKS, st.sampled_from(CASES) | st.text("aB1.’-:/m", min_size=1), MARKS)


@given(st.lists(ENGLISH | st.sampled_from(sorted(english_tokenizer().special_cases))))
def test_tokens_cut_all_at_once_are_those_of_the_whole_rules(chunks: list[str]) -> None:
    tokenizer = english_tokenizer()
    expected = [whole_rules(tokenizer, chunk) for chunk in chunks]
    (lengths, *_), counts = english_tokens(chunks)
    assert counts.tolist() == list(map(len, expected))
    assert lengths.tolist() == [len(token) for tokens in expected for token in tokens]
    assert ["".join(tokens) for tokens in expected] == chunks


WORDS = st.text("aB1_.-’é漢ทไ\x00\u2028\ud800", max_size=8) | st.sampled_from(
    ["Word", "a_b-C", "it’s", "naïve", "x" * 40]
)
TEXTS = st.lists(st.tuples(WORDS, st.sampled_from([*BLANKS, ""])).map("".join), max_size=12).map("".join)


@settings(max_examples=60)
@given(st.lists(TEXTS, max_size=6), st.integers(1, 30), st.integers(1, 60), st.integers(20, 60))
def test_words_hashed_from_bytes_are_those_of_the_rules(texts: list[str], segment: int, block: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_SEGMENT", segment), ("_TOGETHER", block), ("_LONGEST", most)):
            patch.setattr(f"pipeline.curation.text.word_hashing.{name}", value)
        hashes, offsets = word_hashes(texts)
    words = [words_of(chunk) for text in texts for chunk in text.split()]
    by_rules = word_features(Spelled.of([word for some in words for word in some]))[0]
    assert hashes.tolist() == by_rules.tolist()
    assert np.diff(offsets).tolist() == [sum(len(words_of(chunk)) for chunk in text.split()) for text in texts]


@given(st.lists(st.text("aB1_.-’é漢ทไ", min_size=1, max_size=8), max_size=8))
def test_plain_words_of_all_chunks_are_those_of_each(chunks: list[str]) -> None:
    (hashes,), counts = plain_word_hashes(chunks)
    assert counts.tolist() == [len(words_of(chunk)) for chunk in chunks]
    alone = [plain_word_hashes([chunk])[0][0] for chunk in chunks]
    assert hashes.tolist() == [value for values in alone for value in values.tolist()]


def test_words_of_texts_beside_one_without_blanks_stay_theirs(monkeypatch) -> None:
    monkeypatch.setattr("pipeline.curation.text.word_hashing._SEGMENT", 8)
    monkeypatch.setattr("pipeline.curation.text.word_hashing._LONGEST", 20)
    _, offsets = word_hashes(["ab", "x" * 30, "a-b", "y" * 9 + " z"])
    assert offsets.tolist() == [0, 1, 2, 4, 6]


@settings(max_examples=40)
@given(st.lists(st.text("aB1.-’", min_size=1, max_size=6), unique=True, max_size=8), st.randoms())
def test_features_of_chunks_met_one_by_one_are_those_of_all_at_once(chunks: list[str], draw: random.Random) -> None:
    slowly, at_once = View(other_tokens), View(other_tokens)
    order = draw.sample(range(len(chunks)), len(chunks))
    for upto in range(1, len(order) + 1):
        slowly.expand([chunks[place] for place in order[:upto]], np.arange(upto))
    numbers = np.argsort(order) if chunks else np.arange(0)
    one, ends = slowly.expand([chunks[place] for place in order], numbers)
    two, other_ends = at_once.expand(chunks, np.arange(len(chunks)))
    assert ends.tolist() == other_ends.tolist()
    assert [column.tolist() for column in one] == [column.tolist() for column in two]


def test_no_suffix_but_a_row_of_dots_is_longer_than_is_looked_for() -> None:
    rules = json.loads(Path(english.__file__).with_name("english_tokens.json").read_text(encoding="utf-8"))
    ((_, (_, endings)),) = _parser.parse(rules["suffix"])
    longest = sorted(ending.getwidth()[1] for ending in endings)
    assert longest[-2] == _LONGEST_SUFFIX < longest[-1]


def test_common_chunks_are_cut_as_the_whole_rules_cut_them() -> None:
    tokenizer = english_tokenizer()
    words = ["word", "Word", "don't", "cannot", "U.S.", "Mr.", "a.m.", "I", "gonna", "Im", "e.g.", "x", "Jan"]
    for chunk in [word + mark for word in words for mark in ["", *".,;:!?"]]:
        assert tokenizer(chunk) == whole_rules(tokenizer, chunk), chunk


def whole_rules(tokenizer: EnglishTokenizer, chunk: str) -> list[str]:
    return tokenizer._merge(tokenizer._affixes(chunk, tokenizer._special))


def test_texts_counted_in_parts_are_cut_as_they_are_together(monkeypatch) -> None:
    texts = ["One. Two\nthree", "", "four five six seven\n\neight", "\n", "nine", "ten\neleven"]
    monkeypatch.setattr("pipeline.curation.text.chunks._PART", 3)
    parts = list(chunk_texts(texts, chunk_table(english=True)).parts())
    assert len(parts) > 2
    assert [start for start, _, _ in parts] == [0, *(stop for _, stop, _ in parts[:-1])]
    assert parts[-1][1] == len(texts)
    for start, stop, part in parts:
        alone = chunk_texts(texts[start:stop], part.table)
        for name in ("numbers", "offsets", "line_offsets", "text_lines"):
            assert np.array_equal(getattr(part, name), getattr(alone, name)), name


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(1, 6), st.integers(1, 9))
def test_ngrams_are_of_the_words_from_each_place_on(words: list[int], size: int, block: int) -> None:
    hashes = np.array(words, dtype=np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.curation.text.words._BLOCK", block)
        found = ngrams(hashes, size)
    assert found.tolist() == [ngrams(hashes[at : at + size], size)[0] for at in range(len(words) - size + 1)]


def test_what_was_looked_up_before_changes_no_token_and_no_word(monkeypatch) -> None:
    draw = random.Random(1)
    texts = ["Don't stop: it's 5 o'clock (nearly)...", "Ünïcode wörds_here 漢字 ไทย", "x" * 50, ""]
    texts += [" ".join(draw.choice(["a", "b.", "c,"]) for _ in range(20))]
    first = [tokenize(texts, english=True), tokenize(texts, english=False)]
    hashes = word_hashes(texts)
    monkeypatch.setattr("pipeline.curation.text.chunks._LIMIT", 0)
    again = [tokenize(texts[::-1][::-1], english=True), tokenize(texts, english=False)]
    for one, two in zip(first, again, strict=True):
        assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in type(one).__slots__)
    assert all(np.array_equal(one, two) for one, two in zip(hashes, word_hashes(texts), strict=True))
    assert words_of("Don't STOP") == ["don", "t", "stop"]
