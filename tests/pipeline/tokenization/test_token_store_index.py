"""`tokens.json`: one type writes it and reads it, and says what is wrong with one that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.base.errors import ShardError
from pipeline.tokenization.corpus_tokens.index import FileCounts, SplitCounts, TokenStoreIndex
from trainer.data.shards import TokenizerRef

INDEX = TokenStoreIndex(
    corpus="books",
    tokenizer=TokenizerRef("f" * 64, 340, 339, "uint16"),
    encoder="gigatoken 1.0",
    train=SplitCounts.of((FileCounts("train-00000.arrow", 3, 40, 120), FileCounts("train-00001.arrow", 1, 9, 20))),
    heldout=SplitCounts.of(()),
    content_hash="a" * 64,
)


def test_what_is_written_is_read_back_and_counts_add_up(tmp_path: Path) -> None:
    INDEX.write(tmp_path)
    assert TokenStoreIndex.read(tmp_path) == INDEX
    assert (INDEX.train.documents, INDEX.train.tokens, INDEX.train.bytes) == (4, 49, 140)
    assert INDEX.split("heldout") == INDEX.heldout


def test_the_file_is_sorted_json_of_the_format_version_1(tmp_path: Path) -> None:
    INDEX.write(tmp_path)
    text = (tmp_path / "tokens.json").read_text()
    data = json.loads(text)
    assert text == json.dumps(data, indent=2, sort_keys=True) + "\n"
    assert (data["format"], data["version"]) == ("squeeze-tokens", 1)
    assert data["train"]["files"][1] == {"path": "train-00001.arrow", "documents": 1, "tokens": 9, "bytes": 20}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "format 'squeeze-tokens' version 2, expected squeeze-tokens 1"),
        ({"train": {"documents": 1}}, "not a token store .train.* materialize its tokens again"),
        ({"tokenizer": {"dtype": "uint16"}}, "not a token store .tokenizer"),
        ({"tokenizer": {"content_hash": "", "vocab_size": 9, "eot_id": 0, "dtype": "int8"}}, "'int8', known: uint16"),
    ],
)
def test_an_index_that_cannot_be_used_is_named_with_what_to_do(tmp_path: Path, change: dict, message: str) -> None:
    INDEX.write(tmp_path)
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ShardError, match=message) as caught:
        TokenStoreIndex.read(tmp_path)
    assert str(path) in str(caught.value)


def test_a_folder_without_an_index_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"tokens\.json: cannot be read"):
        TokenStoreIndex.read(tmp_path)
