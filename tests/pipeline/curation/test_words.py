"""Tokens and words: cut by the whole rules, whatever was looked up before."""

from __future__ import annotations

import random

import numpy as np

from pipeline.curation.text.english import EnglishTokenizer, english_tokenizer
from pipeline.curation.text.words import tokenize, word_hashes, words_of


def test_common_chunks_are_cut_as_the_whole_rules_cut_them() -> None:
    tokenizer = english_tokenizer()
    words = ["word", "Word", "don't", "cannot", "U.S.", "Mr.", "a.m.", "I", "gonna", "Im", "e.g.", "x", "Jan"]
    for chunk in [word + mark for word in words for mark in ["", *".,;:!?"]]:
        assert tokenizer(chunk) == whole_rules(tokenizer, chunk), chunk


def whole_rules(tokenizer: EnglishTokenizer, chunk: str) -> list[str]:
    return tokenizer._merge(tokenizer._affixes(chunk, tokenizer._special))


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
