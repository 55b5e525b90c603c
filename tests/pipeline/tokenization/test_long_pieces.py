"""Pieces that are too long for a trainer are cut, and nothing else is."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from pipeline.tokenization.formats.patterns import PATTERNS
from pipeline.tokenization.specs import parse_spec
from pipeline.tokenization.training.bpe import BpeSpec, train_bpe
from pipeline.tokenization.training.long_pieces import LONGEST_PIECE, without_long_pieces

LONG = st.sampled_from(["漢", "a", "7", "=", " ", "\n", "กิ", "'s"]).map(lambda unit: unit * 300)


def pieces(text: str, pattern: str) -> list[str]:
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    return [piece for piece, _ in split.pre_tokenize_str(text)]


@pytest.mark.parametrize("name", PATTERNS)
@given(parts=st.lists(LONG | st.text(alphabet="ab 1=.漢é'\n", max_size=6), max_size=6))
def test_long_pieces_alone_are_cut_and_the_text_stays(name: str, parts: list[str]) -> None:
    text, pattern = "".join(parts), PATTERNS[name]
    cut = list(without_long_pieces([text], pattern))
    assert "".join(cut) == text
    expected = [
        piece[start : start + LONGEST_PIECE]
        for piece in pieces(text, pattern)
        for start in range(0, len(piece), LONGEST_PIECE)
    ]
    found = [piece for part in cut for piece in pieces(part, pattern)]
    assert max(map(len, found), default=0) <= LONGEST_PIECE
    assert [piece for piece in found if not piece.isspace()] == [piece for piece in expected if not piece.isspace()]


def test_text_without_long_pieces_is_passed_on_as_it_is() -> None:
    texts = ["one two three", "no blank," * 100, "", "漢字。" * 100]
    assert "".join(without_long_pieces(texts, PATTERNS["cl100k"])) == "".join(texts)
    assert list(without_long_pieces(texts[:2], PATTERNS["cl100k"])) == texts[:2]


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k"])
def test_training_on_long_pieces_is_linear(pattern: str) -> None:
    spec = parse_spec({"kind": "bpe", "vocab_size": 1200, "pattern": pattern}, where="test")
    assert isinstance(spec, BpeSpec)

    def seconds(texts: list[str]) -> float:
        start = time.process_time()
        train_bpe("long", spec, texts)
        return time.process_time() - start

    draw = random.Random(1)
    han = ["".join(chr(0x4E00 + draw.randrange(1000)) for _ in range(20_000)) for _ in range(4)]
    seconds(han[:1])
    marked = ["。".join(text[start : start + 20] for start in range(0, len(text), 20)) for text in han]
    assert seconds(han) < 6 * seconds(marked), "no slower than the same text with a mark after every twenty characters"
