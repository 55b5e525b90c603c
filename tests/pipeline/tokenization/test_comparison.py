"""The comparison's numbers checked by hand, and the choice that follows from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.base.errors import TokenizerError
from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization import load_tokenizer
from pipeline.tokenization.choosing.candidates import Candidate, Comparison, Group
from pipeline.tokenization.choosing.choice import choose, select_tokenizer
from pipeline.tokenization.choosing.comparison import (
    ComparisonSummary,
    ModelShape,
    compare_tokenizers,
    heldout_groups,
    heldout_round_trip,
    measure,
    with_parity,
)
from pipeline.tokenization.settings import ComparisonSettings

Document = tuple[str, str]
Build = Callable[..., Path]
SHAPE = ModelShape(width=64, body_parameters=100_000)


@pytest.fixture
def candidates(build: Build) -> dict[str, Path]:
    return {"tiny": build("tiny", vocab_size=260), "larger": build("larger", vocab_size=340)}


@pytest.fixture
def compared(
    tmp_path: Path, candidates: dict[str, Path], corpora: dict[str, CuratedCorpus], mixture: Path
) -> tuple[ComparisonSummary, Path]:
    out = tmp_path / "comparison"
    out.mkdir()
    return compare_tokenizers(ComparisonSettings(), candidates, corpora, mixture, out, shape=SHAPE), out


def test_ratios_are_of_heldout_text(
    compared: tuple[ComparisonSummary, Path],
    candidates: dict[str, Path],
    english: list[Document],
    french: list[Document],
) -> None:
    summary, _ = compared
    tokenizer = load_tokenizer(candidates["larger"])
    groups = {(g.corpus, g.lang): g for g in summary.groups if g.tokenizer == "larger"}
    assert set(groups) == {("mixed", "fr"), ("stories", "en")}
    texts = [text for text, _ in french[40:]]
    group = groups["mixed", "fr"]
    tokens = sum(len(tokenizer.encode(text)) for text in texts)
    assert group.tokens == tokens
    assert group.bytes_per_token == sum(len(text.encode()) for text in texts) / tokens
    assert group.tokens_per_word == tokens / sum(len(text.split()) for text in texts)
    assert group.round_trip_failures == 0
    assert groups["stories", "en"].parity == pytest.approx(1.0)
    held = [text for text, _ in english[100:]]
    per_character = [
        sum(len(tokenizer.encode(t)) for t in group_texts) / sum(map(len, group_texts)) for group_texts in (texts, held)
    ]
    assert group.parity == pytest.approx(per_character[0] / per_character[1])


def test_prices_are_of_the_profile_s_model(compared: tuple[ComparisonSummary, Path]) -> None:
    summary, _ = compared
    row = summary.tokenizers["larger"]
    assert row.embedding_parameters == 340 * 64
    assert row.embedding_share == 340 * 64 / (340 * 64 + 100_000)
    assert row.training_flops == pytest.approx(6 * (100_000 + 340 * 64) * row.training_tokens, rel=1e-3)
    assert min(row.relative_cost for row in summary.tokenizers.values()) == 1.0
    untied = ModelShape(width=64, body_parameters=100_000, tied=False)
    assert untied.embedding_parameters(340) == 2 * 340 * 64


def test_the_use_of_the_vocabulary_is_counted_on_the_sample(compared: tuple[ComparisonSummary, Path]) -> None:
    row = compared[0].tokenizers["tiny"]
    # an English and French text uses few of the 256 single bytes, and never the end-of-text token
    assert 0.1 < row.vocabulary_used < 0.5
    assert row.rare_rows >= 256 * (1 - row.vocabulary_used)
    assert set(compared[0].encode_mb_per_second) == {"tiny", "larger"}


def test_the_comparison_s_file_holds_no_timings_and_repeats(
    tmp_path: Path,
    compared: tuple[ComparisonSummary, Path],
    candidates: dict[str, Path],
    corpora: dict[str, CuratedCorpus],
    mixture: Path,
) -> None:
    again = tmp_path / "again"
    again.mkdir()
    summary = compare_tokenizers(ComparisonSettings(), candidates, corpora, mixture, again, shape=SHAPE)
    assert summary.content_hash == compared[0].content_hash
    assert (again / "comparison.json").read_bytes() == (compared[1] / "comparison.json").read_bytes()
    assert Comparison.read(again) == Comparison(summary.tokenizers, summary.groups)


def test_no_heldout_text_cannot_be_compared(
    tmp_path: Path, candidates: dict[str, Path], mixture: Path, write_corpus: Callable[..., CuratedCorpus]
) -> None:
    corpora = {"bare": write_corpus(tmp_path / "bare", [("text", "en")])}
    with pytest.raises(TokenizerError, match="no held-out text in bare"):
        compare_tokenizers(ComparisonSettings(), candidates, corpora, mixture, tmp_path, shape=SHAPE)


def test_text_that_does_not_come_back_is_counted(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load_tokenizer(build("lossy"))
    table = tokenizer.token_bytes()
    assert table is not None
    table[tokenizer.encode("!")[0]] = b"?"
    monkeypatch.setattr(tokenizer, "token_bytes", lambda: table)
    texts = pa.array(["fine", "bad!", "fine"], pa.large_string())
    assert measure("lossy", tokenizer, "c", "en", texts).round_trip_failures == 1


def test_without_english_there_is_no_parity() -> None:
    french = Group("t", "c", "fr", 1, 12, 10, 2, 4, 3.0, 2.0, 0)
    (group,) = with_parity([french])
    assert group.parity is None
    english = replace(french, lang="en", tokens=2)
    assert [group.parity for group in with_parity([french, english])] == [2.0, 1.0]


def test_a_criterion_chooses() -> None:
    any_values = {field.name: 0 for field in fields(Candidate)} | {"proxy_bits_per_byte": None}
    rows = {
        name: Candidate(**any_values | {"bytes_per_token": ratio, "training_flops": flops, "vocab_size": size})
        for name, ratio, flops, size in (("small", 3.0, 5.0, 300), ("large", 4.0, 9.0, 900), ("twin", 4.0, 9.0, 800))
    }
    assert choose("fewest_tokens", rows)[0] == "twin"
    name, reason = choose("cheapest_training", rows)
    assert (name, reason) == ("small", "cheapest_training: small 5, twin 9, large 9")
    with pytest.raises(TokenizerError, match="no proxy runs were made"):
        choose("proxy_bits_per_byte", rows)


def test_the_chosen_folder_is_copied_whole(
    tmp_path: Path, compared: tuple[ComparisonSummary, Path], candidates: dict[str, Path]
) -> None:
    out = tmp_path / "tokenizer_chosen"
    out.mkdir()
    (candidates["larger"] / "manifest.json").write_text("{}")
    summary = select_tokenizer("fewest_tokens", compared[1], candidates, out)
    assert summary.name == "larger"
    assert summary.content_hash == load_tokenizer(candidates["larger"]).content_hash
    copied = {path.name: path.read_bytes() for path in out.iterdir()}
    original = {path.name: path.read_bytes() for path in candidates["larger"].iterdir() if path.stem != "manifest"}
    assert copied == original
    assert json.loads(copied["squeeze_tokenizer.json"])["vocab_size"] == 340


def test_a_name_chooses_without_a_comparison(tmp_path: Path, candidates: dict[str, Path]) -> None:
    named = select_tokenizer("larger", None, {"larger": candidates["larger"]}, tmp_path)
    assert (named.name, named.reason) == ("larger", "named in the profile")
    assert named.content_hash == load_tokenizer(candidates["larger"]).content_hash
    with pytest.raises(TokenizerError, match="neither a candidate"):
        select_tokenizer("medium", None, candidates, tmp_path)
    with pytest.raises(TokenizerError, match="must be compared first"):
        select_tokenizer("fewest_tokens", None, candidates, tmp_path)


def test_the_round_trip_of_heldout_text_counts_what_comes_back_changed(
    candidates: dict[str, Path], corpora: dict[str, CuratedCorpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, tokenizer = ComparisonSettings(bytes_per_group=2_000), load_tokenizer(candidates["larger"])
    texts = [text for group in heldout_groups(settings, corpora).values() for text in group.to_pylist()]
    assert heldout_round_trip(candidates["larger"], settings, corpora) == (0, len(texts))
    table = tokenizer.token_bytes()
    assert table is not None
    table[tokenizer.encode("e")[0]] = b"?"
    monkeypatch.setattr(tokenizer, "token_bytes", lambda: table)
    monkeypatch.setattr("pipeline.tokenization.choosing.comparison.load_tokenizer", lambda folder: tokenizer)
    failures, documents = heldout_round_trip(candidates["larger"], settings, corpora)
    assert 0 < failures <= documents == len(texts)
