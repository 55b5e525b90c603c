"""The card of a tokenizer's folder: one type writes and reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.base.errors import TokenizerError
from pipeline.tokenization import is_tokenizer
from pipeline.tokenization.formats.card import TokenizerCard

CARD = TokenizerCard(
    kind="byte_level_bpe",
    vocab_size=320,
    eot_id=319,
    end_of_text="<|endoftext|>",
    dtype="uint16",
    content_hash="a" * 64,
    spec={"kind": "bpe", "vocab_size": 320},
    details={"pattern": r"\p{L}+", "reference": "tokenizers"},
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    assert not is_tokenizer(tmp_path)
    CARD.write(tmp_path)
    assert is_tokenizer(tmp_path)
    assert TokenizerCard.read(tmp_path) == CARD


def test_a_kind_s_own_details_stand_beside_the_rest(tmp_path: Path) -> None:
    CARD.write(tmp_path)
    text = (tmp_path / "squeeze_tokenizer.json").read_text()
    data = json.loads(text)
    assert text == json.dumps(data, indent=2, sort_keys=True) + "\n"
    assert (data["format"], data["version"]) == ("squeeze-tokenizer", 1)
    assert (data["pattern"], data["eot_id"]) == (r"\p{L}+", 319)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a tokenizer's card .*build the tokenizer again"),
        ('{"format": "squeeze-tokenizer", "version": 1}', "not a tokenizer's card .it has no 'kind'"),
        ('{"format": "other", "version": 1}', "is 'other' version 1; this release reads squeeze-tokenizer"),
    ],
)
def test_a_card_that_cannot_be_used_is_named_with_what_to_do(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "squeeze_tokenizer.json"
    path.write_text(text)
    with pytest.raises(TokenizerError, match=message) as caught:
        TokenizerCard.read(tmp_path)
    assert str(path) in str(caught.value)
