"""Training: the reference's merges whichever trainer ran, the sample's balance, and what the text cannot fill."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import TokenizerError
from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization import load_tokenizer
from pipeline.tokenization.formats.patterns import PATTERNS
from pipeline.tokenization.settings import SampleSettings
from pipeline.tokenization.specs import parse_spec
from pipeline.tokenization.training import bpe as train
from pipeline.tokenization.training.bpe import BpeSpec, train_bpe, train_bulk, train_reference
from pipeline.tokenization.training.build import build_tokenizer
from pipeline.tokenization.training.mixture import build_mixture
from pipeline.tokenization.training.sample import balance_rates, sample_texts

Document = tuple[str, str]
Build = Callable[..., Path]


def spec(**more: object) -> BpeSpec:
    parsed = parse_spec({"kind": "bpe", "vocab_size": 320, "pattern": "gpt2", **more}, where="test")
    assert isinstance(parsed, BpeSpec)
    return parsed


def test_both_trainers_learn_the_same_merges_on_real_text(shared_documents: Callable[..., list[Document]]) -> None:
    texts = [text for text, _ in shared_documents("childrens_books_multilingual.jsonl.gz", 300)]
    texts += ["the text spells <|endoftext|> and <|endoftext|> again"] * 3
    expected = train_reference(PATTERNS["gpt2"], 2_000, 2, texts)
    assert train_bulk(2_000, texts) == expected
    assert len(expected) == 2_000


def test_the_faster_trainer_is_used_where_it_learns_the_same(mixture: Path) -> None:
    pairs, note = train_bpe("fast", spec(), sample_texts(mixture))
    assert note.startswith("trained by gigatoken")
    assert pairs.merges == train_reference(PATTERNS["gpt2"], 320 - 257, 2, sample_texts(mixture))


def test_the_reference_trains_where_the_faster_one_learns_otherwise(
    mixture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = train_bpe("right", spec(), sample_texts(mixture))
    monkeypatch.setattr(train, "train_bulk", lambda merges, texts: [(b"x", b"y")] * merges)
    pairs, note = train_bpe("right", spec(), sample_texts(mixture))
    assert pairs == expected
    assert "learned other merges" in note


def test_the_reference_trains_what_the_faster_one_has_no_pattern_for(mixture: Path) -> None:
    pairs, note = train_bpe("o200k", spec(pattern="o200k"), sample_texts(mixture))
    assert "trains with the pattern gpt2 alone" in note
    assert pairs.pattern == PATTERNS["o200k"]


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k"])
def test_a_pair_seen_once_is_no_merge(mixture: Path, pattern: str) -> None:
    with pytest.raises(TokenizerError, match=r"sample fills only (\d+)") as error:
        train_bpe("big", spec(pattern=pattern, vocab_size=2_000), sample_texts(mixture))
    filled = int(str(error.value).split("fills only ")[1].split(":")[0])
    pairs, _ = train_bpe("fits", spec(pattern=pattern, vocab_size=filled), sample_texts(mixture))
    assert len(pairs.tokens) + 1 == filled


def test_digits_are_grouped_as_the_specification_says(build: Build) -> None:
    for digits in (1, 2, 3):
        tokenizer = load_tokenizer(build(f"d{digits}", digits=digits, vocab_size=330))
        table = tokenizer.token_bytes()
        assert table is not None
        longest = max((len(token) for token in table if token.isdigit()), default=1)
        assert longest <= digits


def test_a_specification_s_own_temperature_rebalances_the_sample(
    tmp_path: Path, write_corpus: Callable[..., CuratedCorpus]
) -> None:
    train_documents = [(f"english words number {i} " * 4, "en") for i in range(800)]
    train_documents += [(f"mots français numéro {i} " * 4, "fr") for i in range(200)]
    corpus = write_corpus(tmp_path / "c", train_documents)
    build_mixture(SampleSettings(bytes=1_000_000, temperature=1.0), {"c": corpus}, tmp_path)
    counted = {}
    for temperature in (1.0, 1e6):
        texts = Counter("fr" if "mots" in text else "en" for text in sample_texts(tmp_path, temperature))
        counted[temperature] = texts["fr"] / texts.total()
    assert counted[1.0] == pytest.approx(0.2, abs=0.05)
    assert counted[1e6] == pytest.approx(0.4, abs=0.05)  # every French text, and English up to half the sample
    assert balance_rates(tmp_path, 1e6)["fr"] == 1.0
    rows = pq.read_table(tmp_path / "sample.parquet").num_rows
    assert len(list(sample_texts(tmp_path))) == rows == 1_000


def test_sample_bytes_takes_the_same_share_of_every_language(
    tmp_path: Path, write_corpus: Callable[..., CuratedCorpus]
) -> None:
    documents = [(f"english words number {i} " * 4, "en") for i in range(800)]
    documents += [(f"mots français numéro {i} " * 4, "fr") for i in range(200)]
    build_mixture(
        SampleSettings(bytes=1_000_000, temperature=1.0), {"c": write_corpus(tmp_path / "c", documents)}, tmp_path
    )
    whole = sum(len(text.encode()) for text in sample_texts(tmp_path))
    some = list(sample_texts(tmp_path, None, whole // 4))
    assert sum(len(text.encode()) for text in some) == pytest.approx(whole / 4, rel=0.15)
    assert sum("mots" in text for text in some) / len(some) == pytest.approx(0.2, abs=0.06)
    assert list(sample_texts(tmp_path, None, whole // 4)) == some
    assert len(list(sample_texts(tmp_path, None, 10 * whole))) == 1_000


def test_a_trained_tokenizer_needs_the_mixture(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="trains on the mixture: build `mixture` first"):
        build_tokenizer("x", spec(), tmp_path, cache=tmp_path, folder=tmp_path)
    with pytest.raises(TokenizerError, match="the mixture has no sample"):
        build_tokenizer("x", spec(), tmp_path, cache=tmp_path, folder=tmp_path, mixture=tmp_path)


def test_the_content_hash_of_a_tiny_tokenizer_is_golden(build: Build) -> None:
    """When this moves, TOKENIZER_VERSION must move with it (or a library learned to train otherwise)."""
    card = json.loads((build("golden", pattern="cl100k", digits=1) / "squeeze_tokenizer.json").read_text())
    assert card["content_hash"] == "c0cf9e827d237df27ab1f45737e1a3e869b9b9eddf5ea6d3d6ccca22cc2d2426"
