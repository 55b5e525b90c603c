"""Quality models: learned from corpora or given scores, stored as signals, judged by thresholds that are free."""

from __future__ import annotations

import json
import random
import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pipeline.base.errors import CurationError
from pipeline.base.executor import InProcess
from pipeline.base.settings import identity_of
from pipeline.curation.documents import build_documents
from pipeline.curation.filters.filters import Filters
from pipeline.curation.heldout import heldout_documents, split_heldout
from pipeline.curation.quality.linear import LinearModel, fit, platt
from pipeline.curation.quality.ngrams import ngrams_of
from pipeline.curation.quality.ranking import agreement_of, auc
from pipeline.curation.quality.sample import read_sample
from pipeline.curation.quality.scoring import SCORES_FILE, quantiles_of, score_corpus, score_part
from pipeline.curation.quality.training import MODEL_FILE, train_quality_model
from pipeline.curation.selection import select_corpus
from pipeline.curation.settings import CurationSettings, HeldoutSettings, QualityModelSettings
from pipeline.curation.text.byte_words import hashed_words
from tests.pipeline.curation.stories import corpus, heldout_texts, kept_texts

CLEAR = "cell membrane protein energy theory because therefore example explains shows".split()
LOUD = "buy now cheap click offer win prize subscribe deal hurry".split()
COMMON = "the a of to and in is it that was for on as with by".split()


def page(seed: int, words: list[str], share: float = 0.25, length: int = 40) -> str:
    """Common words and a share of telling ones."""
    draw = random.Random(seed)
    return " ".join(draw.choice(words if draw.random() < share else COMMON) for _ in range(length)) + f" {seed}"


@pytest.fixture
def two_sides(curation, write_lines):
    """A corpus of textbooks, and a web that is half like them."""
    books = [page(seed, CLEAR) for seed in range(120)]
    web = [page(seed, CLEAR if seed % 2 else LOUD) for seed in range(1000, 1120)]
    corpora = {
        "books": corpus(write_lines("books.jsonl", books)),
        "web": corpus(write_lines("web.jsonl", web)),
        "spam": corpus(write_lines("spam.jsonl", [page(seed, LOUD) for seed in range(2000, 2120)])),
    }
    curation.run(corpora)
    return corpora


SETTINGS = QualityModelSettings(like=("books",), unlike=("spam",), bits=12, validation_share=0.2)


def part(curation, name):
    return curation.folder("documents", name) / "part-00000.parquet"


def train(curation, settings=SETTINGS):
    folders = [{name: curation.folder(asset, name) for name in settings.corpora} for asset in ("documents", "heldout")]
    curation.folder("quality_model").mkdir(exist_ok=True)
    return train_quality_model(settings, *folders, curation.folder("quality_model"))


def score(curation, name, executor=None, out="quality"):
    folder = curation.folder(out, name)
    folder.mkdir(parents=True, exist_ok=True)
    model = curation.folder("quality_model")
    return score_corpus(curation.folder("documents", name), model, folder, executor=executor or InProcess())


def select(curation, corpora, name, scored):
    documents = {each: curation.folder("documents", each) for each in corpora}
    near, contamination = curation.folder("near_duplicates"), curation.folder("contamination")
    quality = {each: {"edu": curation.folder("quality", each)} for each in scored}
    out = curation.folder("corpus", name)
    return select_corpus(
        name, corpora, documents, curation.folder("heldout", name), near, contamination, out, quality=quality
    )


def with_thresholds(settings, **thresholds):
    return settings.model_copy(update={"filters": Filters.model_validate({"quality": {"edu": thresholds}})})


def words_by_hand(text: str) -> list[str]:
    """Runs of ASCII letters and digits and of what is beyond ASCII, small letters; Han and kana one by one."""
    lowered = "".join(char.lower() if char.isascii() else char for char in text)
    return re.findall(r"[\u3000-\u9fff]|[a-z0-9\u0080-\u2fff\ua000-\U0010ffff]+", lowered)


@given(st.lists(st.text(st.sampled_from("aBé zß-.1中文か\n𝄞ê"), max_size=12), max_size=6))
def test_equal_words_and_no_others_have_equal_hashes_whatever_stands_around_them(texts: list[str]) -> None:
    found = [hashes for hashes, _ in hashed_words(pa.array(texts, pa.string()))]
    lengths = [length for _, offsets in hashed_words(pa.array(texts, pa.string())) for length in np.diff(offsets)]
    expected = [words_by_hand(text) for text in texts]
    assert lengths == [len(words) for words in expected]
    hashes = np.concatenate([np.empty(0, np.uint64), *found]).tolist()
    flat = [word for words in expected for word in words]
    assert len(set(zip(hashes, flat, strict=True))) == len(set(hashes)) == len(set(flat))


def test_ngrams_end_with_their_text_and_do_not_depend_on_the_block_it_is_in(monkeypatch) -> None:
    texts = pa.array(["one two three", "", "two", "Three; one two"])
    together = ngrams_of(texts, 3, 16)
    assert together.offsets.tolist() == [0, 3, 3, 4, 7]
    assert together.counts.tolist() == [6, 0, 1, 6]
    nothing = 1 << 16
    assert (together.buckets == nothing).tolist() == [
        *([False, False, False], [False, False, True], [False, True, True]),
        [False, True, True],
        *([False, False, False], [False, False, True], [False, True, True]),
    ]
    assert together.buckets[0, 1] == together.buckets[5, 1], "'one two', in two texts"
    monkeypatch.setattr("pipeline.curation.text.byte_words.BLOCK", 8)
    monkeypatch.setattr("pipeline.curation.text.byte_words.blocks", lambda offsets: iter([(0, 1), (1, 2), (2, 4)]))
    np.testing.assert_array_equal(ngrams_of(texts, 3, 16).buckets, together.buckets)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2).filter(lambda x: len({y for _, y in x}) == 2))
def test_the_area_under_the_curve_is_scikit_learns(pairs) -> None:
    scores, good = (np.array(values) for values in zip(*pairs, strict=True))
    assert auc(scores.astype(float), good) == pytest.approx(roc_auc_score(good, scores))


def test_calibration_makes_probabilities_true() -> None:
    random_ = np.random.default_rng(1)
    margins = random_.normal(size=20_000)
    good = random_.random(20_000) < 1 / (1 + np.exp(-(0.5 * margins - 1)))
    slope, offset = platt(margins, good, np.ones(20_000))
    assert (slope, offset) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1, abs=0.05))


def test_it_is_the_logistic_regression_that_scikit_learn_finds() -> None:
    texts = [page(seed, CLEAR) for seed in range(80)] + [page(seed, LOUD) for seed in range(100, 140)]
    good = np.arange(120) < 80
    importance = np.where(good, 0.75, 1.5)
    ngrams = ngrams_of(pa.array(texts), 2, 10)
    model = fit(ngrams, good.astype(float), importance, bits=10, classifies=True, penalty=1e-3)
    bags = np.zeros((120, 1 << 10))
    for row, (start, stop) in enumerate(pairwise(ngrams.offsets)):
        some = ngrams.buckets[start:stop][ngrams.buckets[start:stop] < 1 << 10]
        np.add.at(bags[row], some, len(some) ** -0.5)
    peer = LogisticRegression(C=1 / (1e-3 * 120), tol=1e-8, max_iter=2000).fit(bags, good, sample_weight=importance)
    np.testing.assert_allclose(model.margins(ngrams), peer.decision_function(bags), atol=0.02)


def test_it_tells_unseen_texts_apart_and_says_how_well(two_sides, curation) -> None:
    summary = train(curation)
    assert summary.auc > 0.95
    assert summary.calibration_error < 0.2
    assert {*summary.reliability[0]} == {"predicted", "actual", "weight", "documents"}
    assert sum(each["documents"] for each in summary.reliability) == summary.validation_documents


def test_nothing_is_learned_from_held_out_text_nor_judged_by_text_that_was_learned(two_sides, curation) -> None:
    folders = [{name: curation.folder(asset, name) for name in SETTINGS.corpora} for asset in ("documents", "heldout")]
    sample = read_sample(SETTINGS, *folders)
    held = [document for name in SETTINGS.corpora for document in heldout_documents(curation.folder("heldout", name))]
    every = {name: pq.read_table(part(curation, name)).num_rows for name in SETTINGS.corpora}
    assert len(sample.targets) == sum(every.values()) - len(held)
    assert 0 < sample.validation.sum() < 0.4 * len(sample.targets)
    halves = [sample.importance[sample.targets == side].sum() for side in (0, 1)]
    assert halves[0] == pytest.approx(halves[1])


def test_a_threshold_takes_the_lowest_part_of_the_text_shows_why_and_scores_nothing_anew(two_sides, curation) -> None:
    train(curation)
    summary = score(curation, "web")
    written = (curation.folder("quality", "web") / SCORES_FILE).stat().st_mtime_ns
    corpora = two_sides | {"web": with_thresholds(two_sides["web"], least_quantile=0.3)}
    kept = select(curation, corpora, "web", ["web"])
    step = next(step for step in kept.waterfall if step.step == "quality edu: quantile too low")
    scores = pq.read_table(curation.folder("quality", "web") / SCORES_FILE).to_pydict()
    sizes = pq.read_table(part(curation, "web"), columns=["bytes"]).column("bytes").to_numpy()
    low = np.array(scores["quantile"]) < 0.3
    assert sizes[low].sum() == pytest.approx(0.3 * sizes.sum(), rel=0.05)
    assert all(re.fullmatch(r"0\.\d{3}, quantile 0\.[012]\d\d", example.detail) for example in step.examples)
    assert max(np.array(scores["score"])[low]) <= summary.quantiles["0.5"]
    shown = " ".join(kept_texts(curation, "web"))
    assert sum(shown.count(word) for word in CLEAR) > 1.3 * sum(shown.count(word) for word in LOUD)
    looser = two_sides | {"web": with_thresholds(two_sides["web"], least_score=0.0)}
    assert select(curation, looser, "web", ["web"]).documents > kept.documents
    assert (curation.folder("quality", "web") / SCORES_FILE).stat().st_mtime_ns == written


def test_a_build_that_goes_on_takes_finished_parts_as_they_are(two_sides, curation, monkeypatch) -> None:
    train(curation)
    model, again = curation.folder("quality_model"), curation.folder("again", "web")
    again.mkdir(parents=True)
    score_part(part(curation, "web"), model, again / "part-00000.npy")
    monkeypatch.setattr("pipeline.curation.quality.scoring.score_part", None)
    resumed = score_corpus(curation.folder("documents", "web"), model, again, executor=InProcess())
    monkeypatch.undo()
    assert resumed == score(curation, "web")
    assert [path.name for path in again.iterdir() if not path.name.startswith(".")] == [SCORES_FILE]


def test_a_copy_that_its_corpuss_threshold_removes_gives_way_to_the_one_in_another_corpus(
    curation, write_lines
) -> None:
    doubtful = page(5000, LOUD)
    web = [doubtful, *(page(seed, CLEAR) for seed in range(60))]
    spam = [doubtful, *(page(seed, LOUD) for seed in range(2000, 2060))]
    books = [page(seed, CLEAR) for seed in range(3000, 3120)]
    more = [page(seed, LOUD) for seed in range(4000, 4120)]
    corpora = {
        name: corpus(write_lines(f"{name}.jsonl", texts))
        for name, texts in {"web": web, "mild": spam, "books": books, "spam": more}.items()
    }
    corpora["web"] = with_thresholds(corpora["web"], least_score=0.5)
    unjudged = corpora | {"web": corpora["mild"].model_copy(update={"sources": corpora["web"].sources})}
    curation.run(unjudged, share=0.02)
    assert doubtful not in {text for name in corpora for text in heldout_texts(curation, name)}
    train(curation)
    score(curation, "web")
    assert doubtful in kept_texts(curation, "web"), "without a threshold the first corpus keeps it"
    for name in ("web", "mild"):
        select(curation, corpora, name, ["web"])
    assert (doubtful in kept_texts(curation, "web"), doubtful in kept_texts(curation, "mild")) == (False, True)


def rated_corpus(tmp_path, **source):
    """Documents with a score in a field, a tenth of them without."""
    rows = []
    for seed in range(300):
        share = seed % 5 / 5
        text = page(seed, CLEAR, share=0.5 * share) + " " + page(seed, LOUD, share=0.5 * (1 - share))
        rows.append({"text": text, "score": None if seed % 10 == 9 else seed % 5 + 0.5})
    path = tmp_path / "rated.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    settings = corpus(path)
    sources = [settings.sources[0].model_copy(update={"score_field": "score"} | source)]
    return settings.model_copy(update={"sources": sources})


def test_given_scores_are_kept_learned_and_predicted_in_their_own_units(curation, tmp_path) -> None:
    curation.run({"rated": rated_corpus(tmp_path)})
    given_ = pq.read_table(part(curation, "rated"), columns=["given_score"]).column(0).to_numpy()
    assert np.isnan(given_).mean() == pytest.approx(0.1)
    summary = train(curation, QualityModelSettings(rated=("rated",), bits=12, validation_share=0.2))
    assert summary.auc is None
    assert summary.explained > 0.5
    assert summary.rank_correlation > 0.7
    assert summary.documents + summary.validation_documents <= 270
    scored = score(curation, "rated")
    assert 0 < scored.quantiles["0.05"] < scored.quantiles["0.95"] < 5.5
    model = LinearModel.read(curation.folder("quality_model") / MODEL_FILE)
    assert (model.bits, model.ngram, model.classifies) == (12, 2, False)
    agreement = scored.agreement
    assert agreement.documents == 270, "a tenth came without a score"
    scores = pq.read_table(curation.folder("quality", "rated") / SCORES_FILE, columns=["score"]).column(0).to_numpy()
    rated = ~np.isnan(given_)
    assert agreement.rank_correlation == pytest.approx(spearmanr(given_[rated], scores[rated]).statistic, abs=1e-4)
    assert agreement.rank_correlation > 0.7
    lowest, *_, highest = agreement.ratings
    assert (lowest["rating"], lowest["documents"]) == (1.0, 60)
    assert lowest["fifth_1"] > 0.5 > lowest["fifth_5"]
    assert highest["fifth_5"] > 0.5 > highest["fifth_1"]


def test_agreement_is_one_where_rankings_are_equal_minus_one_where_turned_and_about_zero_between_strangers() -> None:
    given_ = np.repeat(np.arange(5.0), 40)
    same, turned = agreement_of(given_, given_ * 2 - 7), agreement_of(given_, -given_)
    assert (same.rank_correlation, turned.rank_correlation) == (1.0, -1.0)
    assert [row["rating"] for row in same.ratings] == [0, 1, 2, 3, 4]
    table = [[row[f"fifth_{number}"] for number in range(1, 6)] for row in same.ratings]
    np.testing.assert_array_equal(table, np.eye(5))
    np.testing.assert_array_equal([row["mean"] for row in same.ratings], np.arange(5) * 2 - 7)
    stranger = agreement_of(given_, np.random.default_rng(1).normal(size=200))
    assert abs(stranger.rank_correlation) < 0.2
    assert all(0.05 < row[f"fifth_{number}"] < 0.4 for row in stranger.ratings for number in range(1, 6))


def test_agreement_leaves_out_what_has_no_score_and_cuts_other_scales_into_five() -> None:
    assert agreement_of(np.full(3, np.nan), np.arange(3.0)) is None
    some = agreement_of(np.array([np.nan, 1.0, 1.0]), np.arange(3.0))
    assert (some.documents, some.rank_correlation) == (2, None), "all are rated the same"
    for scale in (100.0, 0.4):
        given_ = np.linspace(0, scale, 101)
        rows = agreement_of(given_, given_).ratings
        assert [row["rating"] for row in rows] == pytest.approx([scale * part for part in (0.1, 0.3, 0.5, 0.7, 0.9)])
        assert sum(row["documents"] for row in rows) == 101


def test_documents_without_a_score_field_have_no_such_column_and_the_fingerprint_they_had(curation, two_sides) -> None:
    assert "given_score" not in pq.read_schema(part(curation, "web")).names
    assert "score_field" not in str(identity_of(two_sides["web"].documents))
    assert "quality" not in identity_of(Filters())
    assert "quality" not in identity_of(CurationSettings())


def test_too_little_text_is_named_with_the_side(curation, write_lines) -> None:
    for name, first in (("books", 0), ("spam", 50)):
        settings = corpus(write_lines(f"{name}.jsonl", [page(first + n, CLEAR) for n in range(25)]))
        folders = curation.folder("documents", name), curation.folder("heldout", name)
        build_documents(name, settings.documents, folders[0], cache=curation.root, executor=InProcess())
        split_heldout(name, HeldoutSettings(), *folders)
    with pytest.raises(
        CurationError, match=r"\d documents of `like` are there to judge it by, and 10 are needed: name more corpora"
    ):
        train(curation)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"like": ["a"]}, "name corpora under `like` and `unlike`, or under `rated` alone"),
        ({"like": ["a"], "unlike": ["b"], "rated": ["c"]}, "or under `rated` alone"),
        ({"like": ["a"], "unlike": ["a"]}, "a cannot be under `like` and `unlike` at once"),
    ],
)
def test_a_model_learns_one_thing(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        QualityModelSettings.model_validate(settings)


def test_equal_scores_have_equal_quantiles() -> None:
    quantiles = quantiles_of(np.array([3.0, 1.0, 3.0, 2.0]), np.array([10, 30, 20, 40]))
    np.testing.assert_allclose(quantiles, [0.7, 0.0, 0.7, 0.3])
