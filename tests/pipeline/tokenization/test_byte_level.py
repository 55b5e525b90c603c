"""Byte-level BPE: exact both ways, equal to the field's libraries, and honest about the fast path."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gigatoken
import numpy as np
import pyarrow as pa
import pytest
import tiktoken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import pre_tokenizers

from pipeline.base.errors import TokenizerError
from pipeline.tokenization import Tokenizer, load_tokenizer
from pipeline.tokenization.encoders import bulk
from pipeline.tokenization.encoders.byte_level import ByteLevelTokenizer
from pipeline.tokenization.formats.byte_level_vocabulary import (
    BYTE_TO_CHARACTER,
    BytePairs,
    merges_of,
    parse_gpt2,
    parse_rank_file,
    to_characters,
)
from pipeline.tokenization.formats.written_pairs import WrittenPairs
from pipeline.tokenization.specs import parse_spec
from pipeline.tokenization.training.build import build_tokenizer

Build = Callable[..., Path]
TRICKY = [
    "",
    " ",
    "<|endoftext|>",
    "a<|endoftext|>b <|endoftext|>",
    "wörld 1234567 \U0001f600\U0001f468‍\U0001f469\r\n\r\n  x\t",
    "مرحبا 世界 नमस्ते",
    "\x00\x01\ufeff\u200b\u2028",
    "it's IT'S they'LL ſ 'ſ",
]


@pytest.fixture
def tokenizer(build: Build) -> Tokenizer:
    return load_tokenizer(build("small"))


def test_bytes_are_written_as_the_field_writes_them() -> None:
    assert sorted(BYTE_TO_CHARACTER.values()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert to_characters("é x".encode()) == "Ã©Ġx"


def test_the_end_of_text_token_is_the_last_row_and_never_comes_out_of_text(tokenizer: Tokenizer) -> None:
    assert (tokenizer.vocab_size, tokenizer.eot_id, tokenizer.dtype) == (320, 319, "uint16")
    ids = tokenizer.encode("one<|endoftext|>two")
    assert tokenizer.eot_id not in ids
    assert tokenizer.decode(ids) == "one<|endoftext|>two"
    assert tokenizer.decode([tokenizer.eot_id]) == "<|endoftext|>"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text())
def test_any_unicode_text_comes_back_exactly(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert tokenizer.encode_arrow(pa.array([text])).to_pylist() == [ids]


def test_a_file_that_its_hash_vouches_for_says_the_same_without_being_taken_apart(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build("small")
    data, card = (folder / "tokenizer.json").read_bytes(), json.loads((folder / "squeeze_tokenizer.json").read_text())
    given = {name: card[name] for name in ("pattern", "end_of_text", "vocab_size")}
    pairs, written = BytePairs.from_tokenizer_json(data, **given), WrittenPairs(data, **given)
    assert written.ordinary_json() == pairs.ordinary_json()
    assert written.ranks() == pairs.ranks()
    assert (written.eot_id, written.count, written.pairs) == (pairs.eot_id, len(pairs.tokens), pairs)
    expected = ByteLevelTokenizer(pairs, reference="tokenizers").reference_arrow(pa.array(TRICKY, pa.large_string()))
    monkeypatch.setattr(BytePairs, "from_tokenizer_json", lambda *_, **__: pytest.fail("taken apart"))
    assert load_tokenizer(folder).encode_arrow(pa.array(TRICKY)).equals(expected)


def test_a_lone_surrogate_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match=r"lone surrogate U\+D83D at character 2"):
        tokenizer.encode("ab\ud83d")


def test_bulk_ids_are_the_reference_ids_in_arrow(tokenizer: Tokenizer) -> None:
    encoded = tokenizer.encode_arrow(pa.array(TRICKY))
    assert encoded.type == pa.large_list(pa.uint16())
    assert encoded.to_pylist() == [tokenizer.encode(text) for text in TRICKY]
    assert encoded.equals(tokenizer.reference_arrow(pa.array(TRICKY, pa.large_string())))
    assert tokenizer.bulk_path.startswith("gigatoken ")


def test_bulk_takes_every_arrow_string_type_slices_and_chunks(tokenizer: Tokenizer) -> None:
    expected = [tokenizer.encode(text) for text in TRICKY]
    chunked = pa.chunked_array([TRICKY[:3], TRICKY[3:]])
    padded = pa.array(["skip", *TRICKY, "skip"], pa.large_string()).slice(1, len(TRICKY))
    for texts in (pa.array(TRICKY), chunked, chunked.cast(pa.large_string()), padded):
        assert tokenizer.encode_arrow(texts).to_pylist() == expected
    assert tokenizer.encode_arrow(pa.array([], pa.string())).to_pylist() == []
    assert tokenizer.encode_arrow(pa.chunked_array([], pa.string())).to_pylist() == []
    with pytest.raises(TokenizerError, match="2 nulls among 3"):
        tokenizer.encode_arrow(pa.array(["a", None, None]))
    with pytest.raises(TokenizerError, match="not binary"):
        tokenizer.encode_arrow(pa.array([b"a"]))


def test_decoding_in_bulk_gives_the_bytes_back(tokenizer: Tokenizer) -> None:
    encoded = tokenizer.encode_arrow(pa.array(TRICKY))
    assert tokenizer.decode_arrow(encoded).to_pylist() == [text.encode() for text in TRICKY]
    assert tokenizer.decode_arrow(encoded.slice(2, 3)).to_pylist() == [text.encode() for text in TRICKY[2:5]]


def test_a_fast_path_with_other_ids_is_refused_and_says_so(tokenizer: Tokenizer) -> None:
    right = tokenizer.bulk_encoder()
    assert right is not None

    def wrong(texts: pa.Array) -> pa.Array:
        lists = right(texts)
        values = np.asarray(lists.values).copy()
        values[-1] ^= 1
        return pa.LargeListArray.from_arrays(lists.offsets, pa.array(values))

    tokenizer._bulk = wrong
    encoded = tokenizer.encode_arrow(pa.array(["some text", "more text"]))
    assert encoded.to_pylist() == [tokenizer.encode("some text"), tokenizer.encode("more text")]
    assert tokenizer.bulk_path.startswith("reference (tokenizers ")
    assert "other ids for 1 of 2 sampled documents, the first 'more text'" in tokenizer.bulk_path


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k"])
def test_the_exports_agree(build: Build, pattern: str) -> None:
    folder = build("exported", pattern=pattern)
    tokenizer = load_tokenizer(folder)
    hugging_face = HuggingFaceTokenizer.from_file(str(folder / "tokenizer.json"))
    ranks = parse_rank_file((folder / "ranks.tiktoken").read_bytes(), where="ranks")
    card = json.loads((folder / "squeeze_tokenizer.json").read_text())
    encoding = tiktoken.Encoding(
        "x", pat_str=card["pattern"], mergeable_ranks=ranks, special_tokens={"<|endoftext|>": card["eot_id"]}
    )
    for text in TRICKY:
        ids = tokenizer.encode(text)
        assert encoding.encode_ordinary(text) == ids
        if "<|endoftext|>" not in text:
            assert hugging_face.encode(text).ids == ids
    assert hugging_face.token_to_id("<|endoftext|>") == tokenizer.eot_id
    assert hugging_face.encode("<|endoftext|>").ids == [tokenizer.eot_id]


def test_transformers_loads_the_folder(build: Build) -> None:
    from transformers import AutoTokenizer

    folder = build("auto")
    tokenizer = load_tokenizer(folder)
    auto = AutoTokenizer.from_pretrained(folder)
    text = "The old wolf had 12 songs,  and it's said…"
    assert auto(text)["input_ids"] == tokenizer.encode(text)
    assert auto.decode(tokenizer.encode(text)) == text
    assert (auto.eos_token_id, len(auto)) == (tokenizer.eot_id, tokenizer.vocab_size)


def test_training_twice_gives_the_same_bytes(build: Build) -> None:
    one, two = build("one"), build("two")
    names = sorted(path.name for path in one.iterdir())
    assert names == ["ranks.tiktoken", "squeeze_tokenizer.json", "tokenizer.json", "tokenizer_config.json"]
    assert [(one / name).read_bytes() for name in names] == [(two / name).read_bytes() for name in names]


def test_a_vocabulary_larger_than_the_text_allows_is_refused_with_the_largest(build: Build) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer big: vocab_size is 50,000, but the sample fills only"):
        build("big", vocab_size=50_000)


def test_a_vocabulary_beyond_uint16_is_stored_as_uint32(tmp_path: Path) -> None:
    ranks = {bytes([i]): i for i in range(256)}
    lines = b"".join(
        __import__("base64").b64encode(token) + b" " + str(rank).encode() + b"\n" for token, rank in ranks.items()
    )
    (tmp_path / "wide.tiktoken").write_bytes(lines)
    spec = parse_spec(_rank_spec(tmp_path / "wide.tiktoken", end_of_text_id=69_999, vocab_size=70_000), where="wide")
    out = tmp_path / "out"
    out.mkdir()
    summary = build_tokenizer("wide", spec, out, cache=tmp_path, folder=tmp_path)
    assert summary.dtype == "uint32"
    assert "70,000 is beyond uint16: ids are stored as uint32" in summary.notes[0]
    assert load_tokenizer(out).encode_arrow(pa.array(["abc"])).type == pa.large_list(pa.uint32())


def _rank_spec(path: Path, **more: object) -> dict[str, object]:
    import hashlib

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"kind": "tiktoken", "ranks": {"path": str(path), "sha256": digest}, "pattern": "cl100k", **more}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"end_of_text_id": 97, "vocab_size": 257}, "end_of_text_id 97 is the ordinary token b'a'"),
        ({"end_of_text_id": 300, "vocab_size": 257}, "vocab_size is 257, but the highest id is 300"),
        ({"ranks": {"path": "ranks.tiktoken", "sha256": "0" * 64}}, "ranks.tiktoken has the SHA-256 .* says 0000"),
        ({"ranks": {"path": "none.tiktoken", "sha256": "0" * 64}}, "there is no file .*none.tiktoken"),
    ],
)
def test_a_rank_file_that_does_not_fit_is_refused(tmp_path: Path, more: dict[str, object], message: str) -> None:
    from base64 import b64encode

    path = tmp_path / "ranks.tiktoken"
    path.write_bytes(b"".join(b64encode(bytes([i])) + f" {i}\n".encode() for i in range(256)))
    spec = parse_spec({**_rank_spec(path, end_of_text_id=256, vocab_size=257), **more}, where="x")
    with pytest.raises(TokenizerError, match=message):
        build_tokenizer("x", spec, tmp_path, cache=tmp_path, folder=tmp_path)


def test_files_that_are_no_ranks_are_named_by_line() -> None:
    with pytest.raises(TokenizerError, match="mine, line 1: b'hello world' is not a base64 token"):
        parse_rank_file(b"hello world\n", where="mine")
    with pytest.raises(TokenizerError, match="mine has no token for 255 of the 256 bytes, the first 0x01"):
        parse_rank_file(b"AA== 0\n", where="mine")
    with pytest.raises(TokenizerError, match="mine, line 2: 'abc' is not a merge"):
        parse_gpt2(b"#version: 0.2\nabc\n", None, where="mine")
    with pytest.raises(TokenizerError, match="disagree on 257 tokens"):
        parse_gpt2("#version: 0.2\nĠ t\n".encode(), b"{}", where="mine")


def test_merges_are_found_again_from_ranks() -> None:
    ranks = {bytes([i]): i for i in range(256)} | {b"ab": 256, b"cd": 257, b"abcd": 258, b"abc": 259}
    assert merges_of(ranks, where="x") == [(b"a", b"b"), (b"c", b"d"), (b"ab", b"cd"), (b"ab", b"c")]
    with pytest.raises(TokenizerError, match=r"token b'xyz' .rank 256. is not a merge"):
        merges_of({bytes([i]): i for i in range(256)} | {b"xyz": 256}, where="x")


def test_ids_outside_the_vocabulary_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="id 320 is outside the vocabulary of 320"):
        tokenizer.decode([320])
    with pytest.raises(TokenizerError, match="id -1 is outside"):
        tokenizer.decode([-1])


def test_a_damaged_or_newer_folder_is_refused(build: Build, tmp_path: Path) -> None:
    folder = build("damaged")
    data = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(data.replace('"<|endoftext|>": 319', '"<|endoftext|>": 318'))
    with pytest.raises(TokenizerError, match="is damaged: its files hash to"):
        load_tokenizer(folder)
    card = folder / "squeeze_tokenizer.json"
    card.write_text(card.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(TokenizerError, match="version 2; this release reads"):
        load_tokenizer(folder)
    with pytest.raises(TokenizerError, match="holds no tokenizer"):
        load_tokenizer(tmp_path)


def test_the_fast_path_forgets_what_it_has_seen_and_gives_the_same_ids(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "RENEW_BYTES", 10)
    loads = []
    real = gigatoken.Tokenizer.from_json

    def counted(data: str) -> gigatoken.Tokenizer:
        loads.append(data)
        return real(data)

    folder = build("renewed")
    monkeypatch.setattr(gigatoken.Tokenizer, "from_json", counted)
    tokenizer = load_tokenizer(folder)
    for _ in range(3):
        assert tokenizer.encode_arrow(pa.array(TRICKY)).to_pylist() == [tokenizer.encode(text) for text in TRICKY]
    assert len(loads) == 3
