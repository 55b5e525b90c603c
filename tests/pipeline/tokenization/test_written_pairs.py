"""Tables of a written vocabulary: kept once a machine, found by the next process, never trusted where damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.tokenization import load_tokenizer
from pipeline.tokenization.encoders import sentence_piece
from pipeline.tokenization.formats import written_pairs
from pipeline.tokenization.formats.byte_level_vocabulary import BytePairs
from pipeline.tokenization.formats.written_pairs import TABLES_VERSION, pack, unpack

Build = Callable[..., Path]
TEXTS = pa.array(["the hens sang", "", "<|endoftext|>", "é x 12"], pa.large_string())


def bytes_and_a_merge() -> BytePairs:
    tokens = {i: bytes([i]) for i in range(256)} | {256: b"he", 257: b" he"}
    return BytePairs(tokens, [(b"h", b"e"), (b" ", b"he")], "gpt2", "<|endoftext|>", 258, 259)


def test_tables_change_with_their_version_alone() -> None:
    packed = pack(bytes_and_a_merge().tokenizer_json().encode(), "<|endoftext|>")
    found = (TABLES_VERSION, hashlib.sha256(packed).hexdigest()[:16])
    assert found == ("1", "f9d6dd757500ff8e"), "move TABLES_VERSION: machines keep tables of the version before"


def test_tables_hold_what_the_vocabulary_says() -> None:
    pairs = bytes_and_a_merge()
    tables = unpack(memoryview(pack(pairs.tokenizer_json().encode(), pairs.end_of_text)))
    assert (tables.eot_id, tables.ids.tolist()) == (258, list(range(258)))
    assert bytes(tables.tokens)[-5:] == b"he he"
    assert tables.ends.tolist()[-3:] == [256, 258, 261]
    assert str(tables.ordinary_json, "utf-8") == pairs.ordinary_json()


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
def test_the_next_process_takes_no_vocabulary_apart_unless_its_tables_are_damaged(
    build: Build, cache: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    monkeypatch.setattr(written_pairs, "LEAST_BYTES", 0)
    taken: list[int] = []
    monkeypatch.setattr(written_pairs, "pack", lambda data, end: taken.append(len(data)) or pack(data, end))
    folder = build("small")
    expected = load_tokenizer(folder).encode_arrow(TEXTS)
    (tables,) = cache.iterdir()
    if damaged:
        tables.write_bytes(tables.read_bytes()[:-100])
    again = load_tokenizer(folder)
    assert again.encode_arrow(TEXTS).equals(expected)
    assert again.reference_arrow(TEXTS).equals(expected)
    assert len(taken) == (2 if damaged else 1)
    assert again.bulk_path.startswith("gigatoken ")


def test_a_sentencepiece_model_is_made_a_tokenizer_json_once(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build("pieces", kind="sentencepiece_bpe", vocab_size=316)
    expected = load_tokenizer(folder).encode_arrow(TEXTS)
    monkeypatch.setattr(sentence_piece, "tokenizer_json", lambda *_, **__: pytest.fail("made again"))
    again = load_tokenizer(folder)
    assert again.encode_arrow(TEXTS).equals(expected)
    assert again.bulk_path.startswith("gigatoken ")
