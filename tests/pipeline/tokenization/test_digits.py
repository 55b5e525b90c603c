"""Digit groups that gigatoken has no pattern for: the same ids as the reference, still on the fast path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.tokenization import Tokenizer, load_tokenizer

Build = Callable[..., Path]
SCHEMES = [("cl100k", 1), ("cl100k", 2), ("o200k", 1), ("o200k", 2)]
NUMBERS = [
    "12345 and 1234, in 2026: 7.5% of 1313131\n\n 99  100",
    "0",
    "",
    "x1y22z333",
    "١٢٣٤ ४५६ 1٢3 ½ 2½ x² 10²³",
    " 7",
]


@pytest.fixture(params=SCHEMES, ids=lambda scheme: "".join(map(str, scheme)))
def tokenizer(request: pytest.FixtureRequest, build: Build) -> Tokenizer:
    pattern, digits = request.param
    return load_tokenizer(build("digits", pattern=pattern, digits=digits, vocab_size=340))


def fast(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    bulk = tokenizer.bulk_encoder()
    assert bulk is not None
    assert tokenizer.bulk_path.startswith("gigatoken ")
    lists: list[list[int]] = bulk(pa.array(texts, pa.large_string())).to_pylist()
    return lists


def test_numbers_get_the_reference_s_ids_on_the_fast_path(tokenizer: Tokenizer) -> None:
    table = tokenizer.token_bytes()
    assert table is not None
    assert any(token.isdigit() and len(token) == 2 for token in table) == ("{1,2}" in tokenizer.pairs.pattern)  # type: ignore[attr-defined]
    assert fast(tokenizer, NUMBERS) == [tokenizer.encode(text) for text in NUMBERS]
    assert fast(tokenizer, ["12", "34"]) == [tokenizer.encode("12"), tokenizer.encode("34")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(texts=st.lists(st.text(alphabet="01139 a.\n½٣४²é"), max_size=6))
def test_any_mix_of_numbers_and_text_does(tokenizer: Tokenizer, texts: list[str]) -> None:
    assert fast(tokenizer, texts) == [tokenizer.encode(text) for text in texts]
