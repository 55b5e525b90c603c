"""sentencepiece models: loaded and trained, equal to sentencepiece's own ids, honest about what they lose."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import sentencepiece

from pipeline.base.errors import TokenizerError
from pipeline.tokenization import load_tokenizer
from pipeline.tokenization.choosing.comparison import round_trip_failures
from pipeline.tokenization.specs import parse_spec
from pipeline.tokenization.training.build import build_tokenizer
from pipeline.tokenization.training.sentence_piece import (
    LONGEST_LINE,
    SentencepieceTrainedSpec,
    short_enough,
    train_sentencepiece,
)

Build = Callable[..., Path]
KINDS = ["sentencepiece_bpe", "sentencepiece_unigram"]
TEXTS = [
    "The old wolf had 12 songs,  and it's said…\nNew line\n\n",
    " leading",
    "trailing ",
    "",
    " ",
    "</s><unk> <0x41> <|endoftext|>",
    "Привет 世界 \U0001f600 \x00",
]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_sentencepiece_s_own(build: Build, kind: str) -> None:
    folder = build("spm", kind=kind, vocab_size=316)
    tokenizer = load_tokenizer(folder)
    own = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert (tokenizer.kind, tokenizer.vocab_size, tokenizer.dtype) == ("sentencepiece", 316, "uint16")
    expected = [own.encode(text) for text in TEXTS]
    assert [tokenizer.encode(text) for text in TEXTS] == expected
    encoded = tokenizer.encode_arrow(pa.array(TEXTS))
    assert encoded.to_pylist() == expected
    assert encoded.type == pa.large_list(pa.uint16())
    assert not any(tokenizer.eot_id in ids for ids in expected)
    fast = tokenizer.bulk_path
    assert fast.startswith("gigatoken" if kind == "sentencepiece_bpe" else "reference (sentencepiece ")


@pytest.mark.parametrize("kind", KINDS)
def test_text_comes_back_but_for_the_sign_for_spaces(build: Build, kind: str) -> None:
    tokenizer = load_tokenizer(build("spm", kind=kind, vocab_size=316))
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    lossy = pa.array([*TEXTS, "a▁b", "two▁"], pa.large_string())
    assert tokenizer.decode_arrow(tokenizer.encode_arrow(lossy)).to_pylist()[-2:] == [b"a b", b"two "]
    assert round_trip_failures(tokenizer, lossy, tokenizer.encode_arrow(lossy)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_loads_the_exported_tokenizer_json(build: Build, kind: str) -> None:
    from transformers import AutoTokenizer

    folder = build("spm", kind=kind, vocab_size=316)
    tokenizer = load_tokenizer(folder)
    auto = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS[:5]:
        assert auto(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)
        assert auto.decode(tokenizer.encode(text)) == text
    assert auto.eos_token_id == tokenizer.eot_id


@pytest.mark.parametrize("kind", KINDS)
def test_training_twice_gives_the_same_bytes(build: Build, kind: str) -> None:
    one, two = (build(name, kind=kind, vocab_size=316) for name in ("one", "two"))
    assert (one / "tokenizer.model").read_bytes() == (two / "tokenizer.model").read_bytes()


def test_threads_are_part_of_the_identity() -> None:
    specs = [
        parse_spec({"kind": "sentencepiece_unigram", "vocab_size": 340, "threads": threads}, where="x")
        for threads in (1, 2)
    ]
    assert specs[0].identity() != specs[1].identity()


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_that_does_not_fit_says_what_would(build: Build, kind: str) -> None:
    with pytest.raises(TokenizerError, match=r"tokenizer big: vocab_size is 90,000, but the sample fills only"):
        build("big", kind=kind, vocab_size=90_000)
    with pytest.raises(TokenizerError, match=r"vocab_size is 200, smaller than the alphabet: \d+ rows go to"):
        build("small", kind=kind, vocab_size=200)


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_line_without_a_blank_takes_part(kind: str) -> None:
    draw = random.Random(1)
    line = "".join(chr(0x4E00 + draw.randrange(40)) for _ in range(400_000))
    spec = parse_spec({"kind": kind, "vocab_size": 304, "character_coverage": 1.0}, where="x")
    assert isinstance(spec, SentencepieceTrainedSpec)
    model = sentencepiece.SentencePieceProcessor(model_proto=train_sentencepiece("x", spec, iter(["wolf\n", line])))
    assert sum("\u4e00" <= model.id_to_piece(i)[0] <= "\u9fff" for i in range(304)) >= 40


def test_long_lines_are_cut_whole_and_at_blanks() -> None:
    for line in ("a word " * 40_000, "\U0001f600" * 70_000, "short", " " * 50_000):
        parts = list(short_enough(line))
        assert "".join(parts) == line
        assert all(0 < len(part.encode()) <= LONGEST_LINE for part in parts)
    assert all(part.startswith(" ") for part in list(short_enough("a word " * 40_000))[1:])


def test_bytes_of_each_piece(build: Build) -> None:
    tokenizer = load_tokenizer(build("spm", kind="sentencepiece_bpe", vocab_size=316))
    table = tokenizer.token_bytes()
    assert table is not None
    assert (len(table), table[tokenizer.eot_id]) == (316, b"")
    assert sum(len(token) == 1 for token in table) >= 256
    ids = tokenizer.encode("tin soldier")
    assert b"".join(table[i] for i in ids) == b" tin soldier"


def test_a_loaded_model_is_checked(build: Build, tmp_path: Path) -> None:
    import hashlib

    model = (build("trained", kind="sentencepiece_bpe", vocab_size=316) / "tokenizer.model").read_bytes()
    (tmp_path / "any.model").write_bytes(model)
    (tmp_path / "bad.model").write_bytes(b"no model")

    def load(file: str, **more: object) -> None:
        source = {"path": file, "sha256": hashlib.sha256((tmp_path / file).read_bytes()).hexdigest()}
        spec = parse_spec({"kind": "sentencepiece", "file": source, **more}, where="x")
        build_tokenizer("x", spec, out, cache=tmp_path, folder=tmp_path)

    out = tmp_path / "out"
    out.mkdir()
    load("any.model")
    assert load_tokenizer(out).encode("tin soldier") == load_tokenizer(tmp_path / "tokenizer" / "trained").encode(
        "tin soldier"
    )
    with pytest.raises(TokenizerError, match=r"any\.model has no end-of-text token '<eod>'.*control pieces \(</s>\)"):
        load("any.model", end_of_text="<eod>")
    with pytest.raises(TokenizerError, match=r"bad\.model is not a sentencepiece model"):
        load("bad.model")
