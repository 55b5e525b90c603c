"""From easy to hard by the loss of a model of n-grams, which has not seen what it scores."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.assets.every import every_asset
from pipeline.base.errors import ProfileError, ShardError
from pipeline.base.executor import InProcess
from pipeline.base.ids import id64
from pipeline.base.settings import identity_of
from pipeline.profile.profile import load_profile
from pipeline.sharding.beside import read_beside
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.losses.build import LOSS, LOSSES_VERSION, build_losses, losses_of
from pipeline.sharding.losses.ngrams import CONCENTRATION, NgramModel, Tokens
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import LossModel, ScheduleSettings, ShardSettings
from pipeline.study.data import build_data
from pipeline.study.settings import StudyData
from tests.pipeline.base.twice import Twice

VOCABULARY = 6


def tokens_of(documents: list[list[int]], halves: list[int]) -> Tokens:
    """Documents that token 0 ends."""
    ended = [[*document, 0] for document in documents]
    offsets = np.cumsum([0, *map(len, ended)])
    values = np.array([token for document in ended for token in document], dtype=np.int64)
    return Tokens(values, offsets, np.array(halves, dtype=np.int64))


def bits_by_hand(documents: list[list[int]], halves: list[int], ngram: int) -> list[float]:
    """The same model as a table of tuples."""
    grams: list[Counter[tuple[int, ...]]] = [Counter(), Counter()]
    contexts: list[Counter[tuple[int, ...]]] = [Counter(), Counter()]
    for document, half in zip(documents, halves, strict=True):
        padded = [0] * (ngram - 1) + [*document, 0]
        for place in range(ngram - 1, len(padded)):
            for length in range(ngram):
                contexts[half][tuple(padded[place - length : place])] += 1
                grams[half][tuple(padded[place - length : place + 1])] += 1
    bits = []
    for document, half in zip(documents, halves, strict=True):
        padded, total = [0] * (ngram - 1) + document, 0.0
        for place in range(ngram - 1, len(padded)):
            probability = (grams[1 - half][(padded[place],)] + 1) / (contexts[1 - half][()] + VOCABULARY)
            for length in range(1, ngram):
                context = tuple(padded[place - length : place])
                together = grams[1 - half][(*context, padded[place])]
                probability = (together + CONCENTRATION * probability) / (contexts[1 - half][context] + CONCENTRATION)
            total -= math.log2(probability)
        bits.append(total)
    return bits


DOCUMENTS = st.lists(st.tuples(st.lists(st.integers(1, VOCABULARY - 1), max_size=8), st.integers(0, 1)), max_size=8)


@settings(max_examples=50, deadline=None)
@given(DOCUMENTS, st.integers(1, 4))
def test_its_bits_are_those_of_the_formula_and_batches_do_not_matter(drawn: Any, ngram: int) -> None:
    documents, halves = [document for document, _ in drawn], [half for _, half in drawn]
    model = NgramModel(ngram, 16, VOCABULARY, end=0)
    model.count(tokens_of(documents[:3], halves[:3]))
    model.count(tokens_of(documents[3:], halves[3:]))
    expected = bits_by_hand(documents, halves, ngram)
    np.testing.assert_allclose(model.bits_of(tokens_of(documents, halves)), expected, rtol=1e-9, atol=1e-9)


def test_a_document_is_scored_by_the_half_that_it_is_not_in() -> None:
    document, others = [1, 2, 3, 4], [[1, 2], [3, 4, 5]]

    def bits(copies: int) -> float:
        model = NgramModel(3, 12, VOCABULARY, end=0)
        model.count(tokens_of([document] * copies + others, [0] * copies + [1, 1]))
        return float(model.bits_of(tokens_of([document], [0]))[0])

    assert bits(1) == bits(50)


def made_corpora(make_store: Any, folder: Path, **how: Any) -> tuple[dict[str, Path], dict[str, list[Any]]]:
    """A corpus of which every other document says one thing over and over, and one of random tokens."""
    rng = np.random.default_rng(1)
    corpora = {}
    for name in ("web", "kids"):
        documents = []
        for number in range(120):
            plain = name == "web" and number % 2 == 0
            start = int(rng.integers(1, 20))
            tokens = [1 + (start + place) % 20 for place in range(30)] if plain else rng.integers(1, 500, 30).tolist()
            documents.append((hashlib.blake2b(f"{name}{number}".encode(), digest_size=16).digest(), "en", [*tokens, 0]))
        corpora[name] = documents
    stores = {name: make_store(folder / name, name, docs, **how) for name, docs in corpora.items()}
    return stores, corpora


SMALL = {"bits": 14}


def test_losses_are_low_for_what_is_like_the_rest_and_depend_on_no_division_of_work(
    make_store: Any, tmp_path: Path
) -> None:
    found = []
    for number, how in enumerate(({"files": 1, "batch": 120}, {"files": 3, "batch": 7})):
        stores, corpora = made_corpora(make_store, tmp_path / f"tokens{number}", **how)
        executor = InProcess() if number == 0 else Twice()
        found.append(build_losses(LossModel(**SMALL), stores, {"web"}, tmp_path / f"losses{number}", executor))
    assert found[0] == found[1]
    assert list(found[0].corpora) == ["web"]
    assert found[0].tokens == 240 * 31
    ids = id64(np.array([list(document[0]) for document in corpora["web"]], dtype=np.uint8))
    losses = read_beside(losses_of(tmp_path / "losses0", "web"), LOSS, ids, np.nan)
    assert losses[::2].max() < losses[1::2].min()
    row = found[0].corpora["web"]
    assert row.documents == 120
    assert row.mean == pytest.approx(losses.mean(), abs=1e-3), "all are of one length"
    assert row.quantiles["0.05"] == pytest.approx(np.quantile(losses, 0.05), abs=1e-3)
    assert sorted(path.name for path in (tmp_path / "losses0").iterdir()) == ["documents"], "the tables are gone"


def test_losses_of_a_small_corpus_have_the_content_that_their_version_names(make_store: Any, tmp_path: Path) -> None:
    stores, _ = made_corpora(make_store, tmp_path / "tokens")
    summary = build_losses(LossModel(**SMALL), stores, {"web", "kids"}, tmp_path / "losses", InProcess())
    assert (LOSSES_VERSION, summary.content_hash[:16]) == ("1", "eaaf3db95f93e827")


def plan_of(stores: dict[str, Path], out: Path, losses: Path | None, **stage: Any) -> Any:
    out.mkdir()
    stage = {"name": "up", "order": "easy_to_hard", "grade_steps": 4, "mixture": {"web": {"repeats": 1}}} | stage
    given_ = ScheduleSettings.model_validate({"stages": [stage]})
    build_schedule(given_, stores, out, None, losses)
    return Schedule.read(out).epoch(1)


@pytest.mark.parametrize("descending", [False, True])
def test_a_stage_rises_or_falls_in_steps_of_about_as_many_documents(
    make_store: Any, tmp_path: Path, read_epoch: Any, descending: bool
) -> None:
    stores, corpora = made_corpora(make_store, tmp_path / "tokens")
    build_losses(LossModel(**SMALL), stores, {"web"}, tmp_path / "losses", InProcess())
    plan = plan_of(stores, tmp_path / "schedule", tmp_path / "losses", descending=descending)
    assert list(plan.losses) == ["web"]
    assert ("descending" in plan.to_json()["stages"][0]) == descending
    build_epoch(plan, stores, ShardSettings(), tmp_path / "epoch", InProcess(), tmp_path / "schedule")
    read = [row[0] for row in read_epoch(tmp_path / "epoch")[0]]
    assert sorted(read) == sorted(document[0] for document in corpora["web"])
    ids = id64(np.array([list(document) for document in read], dtype=np.uint8))
    losses = read_beside(losses_of(tmp_path / "losses", "web"), LOSS, ids, np.nan)
    steps = np.searchsorted(plan.stages[0].order.loss_edges, losses, side="right")
    assert np.all(np.diff(steps) <= 0 if descending else np.diff(steps) >= 0)
    assert np.bincount(steps, minlength=4).min() > 15
    first = steps == steps[0]
    assert np.any(np.diff(losses[first]) > 0)
    assert np.any(np.diff(losses[first]) < 0), "shuffled inside"
    easy = {document[0] for document in corpora["web"][::2]}
    assert {document in easy for document in read[:60]} == {not descending}


def test_another_loss_is_another_plan_and_no_loss_none(make_store: Any, tmp_path: Path) -> None:
    stores, _ = made_corpora(make_store, tmp_path / "tokens")
    hashes = set()
    for ngram in (1, 3):
        folder = tmp_path / f"losses{ngram}"
        build_losses(LossModel(ngram=ngram, **SMALL), stores, {"web"}, folder, InProcess())
        hashes.add(plan_of(stores, tmp_path / f"schedule{ngram}", folder).content_hash)
    assert len(hashes) == 2
    with pytest.raises(ShardError, match="a stage goes from easy to hard, and there are no losses of its documents"):
        plan_of(stores, tmp_path / "none", None)
    plain = plan_of(stores, tmp_path / "plain", None, order="shuffled")
    assert "losses" not in plain.to_json()
    kept = identity_of(ScheduleSettings.model_validate({"stages": [{"name": "a", "mixture": {"web": 1}}]}))
    assert "loss_model" not in kept
    assert "descending" not in kept["stages"][0]


def test_a_studys_data_set_is_sorted_by_losses_that_it_is_given(make_store: Any, tmp_path: Path) -> None:
    stores, _ = made_corpora(make_store, tmp_path / "tokens")
    stage = {"name": "up", "order": "easy_to_hard", "grade_steps": 2, "mixture": {"web": 1}}
    data = StudyData.model_validate({"tokens": 1200, "stages": [stage]})
    assert data.stages is not None
    with pytest.raises(ShardError, match="there are no losses of its documents"):
        build_data(data, data.stages, stores, tmp_path / "without", InProcess())
    build_losses(LossModel(corpora=("kids",), **SMALL), stores, {"web"}, tmp_path / "losses", InProcess())
    out = tmp_path / "with"
    summary = build_data(data, data.stages, stores, out, InProcess(), losses=tmp_path / "losses")
    assert summary.sources == {"web": summary.tokens}
    assert list(Schedule.read(out).epoch(1).losses) == ["web"]


def test_a_shuffle_has_no_direction() -> None:
    stage = {"name": "a", "mixture": {"web": 1}, "descending": True}
    with pytest.raises(ValidationError, match="stage 'a': shuffled documents have no order to turn"):
        ScheduleSettings.model_validate({"stages": [stage]})


def test_a_profile_that_goes_from_easy_to_hard_scores_what_it_mixes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    stages = "stages: [{name: up, order: easy_to_hard, mixture: {books: 1}}]"
    path.write_text(f"extends: sample\nschedule: {{{stages}, loss_model: {{corpora: [wikipedia]}}}}\n")
    assets = {asset.key: asset for asset in every_asset(load_profile(str(path)))}
    assert sorted(assets["losses"].inputs) == ["tokens/books", "tokens/wikipedia"]
    assert "losses" in assets["schedule"].inputs
    path.write_text("extends: sample\n")
    assert "losses" not in {asset.key for asset in every_asset(load_profile(str(path)))}
    path.write_text(f"extends: sample\nschedule: {{{stages}, loss_model: {{corpora: [wikipedai]}}}}\n")
    with pytest.raises(ProfileError, match=r"loss_model.corpora.0: there is no corpus 'wikipedai'; did you mean"):
        load_profile(str(path))
