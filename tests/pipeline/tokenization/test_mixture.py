"""What there is, and the balanced sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import TokenizerError
from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization.settings import SampleSettings
from pipeline.tokenization.training.balance import is_taken, language_targets, pieces_of
from pipeline.tokenization.training.mixture import Mixture, TextCounts, build_mixture

Document = tuple[str, str]
WriteCorpus = Callable[..., CuratedCorpus]


def test_counts_are_of_the_selected_documents(
    tmp_path: Path, corpora: dict[str, CuratedCorpus], english: list[Document], french: list[Document]
) -> None:
    summary = build_mixture(SampleSettings(bytes=1_000_000), corpora, tmp_path)
    english_bytes = sum(len(text.encode()) for text, _ in english[60:90])
    french_bytes = sum(len(text.encode()) for text, _ in french[:40])
    assert summary.corpora["mixed"].languages == {
        "en": TextCounts(30, english_bytes),
        "fr": TextCounts(40, french_bytes),
    }
    assert summary.documents == 170
    written = Mixture.read(tmp_path)
    assert (written.content_hash, written.corpora) == (summary.content_hash, summary.corpora)
    assert (written.bytes, written.languages) == (summary.sample_bytes, summary.languages)


def test_a_sample_larger_than_the_text_is_all_of_it_in_order(
    tmp_path: Path, corpora: dict[str, CuratedCorpus], english: list[Document], french: list[Document]
) -> None:
    summary = build_mixture(SampleSettings(bytes=1_000_000), corpora, tmp_path)
    table = pq.read_table(tmp_path / "sample.parquet")
    expected = [text for text, _ in [*french[:40], *english[60:90], *english[:100]]]
    assert table["text"].to_pylist() == expected
    assert table["corpus"].to_pylist() == ["mixed"] * 70 + ["stories"] * 100
    assert summary.sample_bytes == summary.bytes == sum(table["bytes"].to_pylist())


def test_the_same_corpora_give_the_same_bytes_in_any_order(tmp_path: Path, corpora: dict[str, CuratedCorpus]) -> None:
    hashes = []
    for number, given_order in enumerate((corpora, dict(reversed(corpora.items())))):
        out = tmp_path / str(number)
        out.mkdir()
        summary = build_mixture(SampleSettings(bytes=5_000), given_order, out)
        hashes.append(
            (summary.content_hash, (out / "sample.parquet").read_bytes(), (out / "mixture.json").read_bytes())
        )
    assert hashes[0] == hashes[1]


def test_a_high_temperature_evens_languages_out(tmp_path: Path, write_corpus: WriteCorpus) -> None:
    train = [(f"english text number {i} " * 4, "en") for i in range(2_000)]
    train += [(f"texte français numéro {i} " * 4, "fr") for i in range(400)]
    corpora = {"both": write_corpus(tmp_path / "both", train)}
    shares = {}
    for temperature in (1.0, 1000.0):
        out = tmp_path / str(temperature)
        out.mkdir()
        summary = build_mixture(SampleSettings(bytes=30_000, temperature=temperature), corpora, out)
        shares[temperature] = summary.languages["fr"].sample_share
        assert summary.sample_bytes == pytest.approx(30_000, rel=0.2)
    assert shares[1.0] == pytest.approx(0.18, abs=0.05)
    assert shares[1000.0] == pytest.approx(0.5, abs=0.06)


def test_targets_are_capped_and_what_is_left_goes_to_the_others() -> None:
    assert language_targets({"en": 900, "fr": 90, "sw": 10}, 300, 1e9) == pytest.approx(
        {"en": 200, "fr": 90, "sw": 10}, rel=1e-6
    )
    assert language_targets({"en": 900, "fr": 100}, 100, 1.0) == pytest.approx({"en": 90, "fr": 10})


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**6), min_size=1),
    st.integers(1, 10**7),
    st.floats(1, 100),
)
def test_targets_never_exceed_what_there_is_and_use_it_up(
    available: dict[str, int], total: int, temperature: float
) -> None:
    targets = language_targets(available, total, temperature)
    assert all(0 <= targets[lang] <= available[lang] * (1 + 1e-9) for lang in available)
    assert sum(targets.values()) == pytest.approx(min(total, sum(available.values())))


@given(st.text(), st.integers(1, 20))
def test_pieces_make_up_the_text(text: str, size: int) -> None:
    pieces = list(pieces_of(text, size))
    assert "".join(pieces) == text
    assert all(piece[0].isspace() for piece in pieces[1:])


def test_a_rate_takes_its_share_and_a_higher_rate_keeps_it() -> None:
    ids = [number.to_bytes(8, "little") for number in range(20_000)]
    quarter = {i for i in ids if is_taken(i, 0.25)}
    assert len(quarter) / len(ids) == pytest.approx(0.25, abs=0.01)
    assert quarter <= {i for i in ids if is_taken(i, 0.5)}
    assert all(is_taken(i, 1.0) for i in ids)
    assert not any(is_taken(i, 0.0) for i in ids)


def test_a_mixture_that_cannot_be_read_says_what_to_build(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"mixture\.json: cannot be read .*build `mixture` again"):
        Mixture.read(tmp_path)


def test_corpora_without_text_are_refused(tmp_path: Path, write_corpus: WriteCorpus) -> None:
    with pytest.raises(TokenizerError, match="the corpora empty hold no text"):
        build_mixture(SampleSettings(), {"empty": write_corpus(tmp_path / "empty", [])}, tmp_path)
