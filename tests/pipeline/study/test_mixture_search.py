"""The search for a mixture: what is tried, what the regression finds, what it predicts, and who takes it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipeline.assets.every import every_asset
from pipeline.base.errors import ProfileError, StudyError
from pipeline.base.settings import identity_of
from pipeline.profile.profile import load_profile
from pipeline.sharding.settings import StageSettings
from pipeline.study.mixture_settings import LEAST_SHARE, MixtureSearch
from pipeline.study.mixtures.design import designed_mixtures
from pipeline.study.mixtures.regression import best_mixture, chosen_form, fit, left_out_error
from pipeline.study.mixtures.search import (
    MixtureSummary,
    judge_mixtures,
    mixtures_of,
    proxy_plan,
    search_mixture,
    with_found,
)
from pipeline.study.results.run_result import RunResult

HAND = {"web": 0.6, "books": 0.3, "verse": 0.1}
SEARCH = {
    "corpora": HAND,
    "weights": {"web": 1, "books": 1},
    "arm": "baseline",
    "mixtures": 12,
    "tokens": 100_000,
    "for_tokens": 1_000_000,
}


def test_the_set_begins_with_the_hand_made_mixture_and_spreads_around_it() -> None:
    tried = designed_mixtures(HAND, 12, 1)
    assert tried[0] == HAND
    assert len({tuple(mixture.values()) for mixture in tried}) == 12
    shares = np.array([list(mixture.values()) for mixture in tried])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares.min() >= LEAST_SHARE
    assert (np.ptp(shares, axis=0) > 0.2).all(), "every corpus is had in very different shares"
    assert tried == designed_mixtures(HAND, 12, 1)
    assert tried[1:] != designed_mixtures(HAND, 12, 2)[1:]
    assert tried[:6] == designed_mixtures(HAND, 6, 1), "more runs keep those that are there"


def scores_at(shares: np.ndarray, noise: float = 0.0) -> np.ndarray:
    """Two corpora's bits per byte, log-linear in the shares of three."""
    true = np.array([[0.6, 1.0], [0.9, 0.5], [1.1, 1.0]])
    return np.exp(shares @ true) * np.exp(noise * np.random.default_rng(1).standard_normal((len(shares), 2)))


TRIED = np.array([list(mixture.values()) for mixture in designed_mixtures(HAND, 16, 1)])
HALVES = np.array([0.5, 0.5])


def test_the_regression_finds_a_log_linear_law_and_says_how_far_off_it_is() -> None:
    fitted = fit(TRIED, scores_at(TRIED), "share")
    others = np.array([[0.2, 0.5, 0.3], [1 / 3] * 3])
    np.testing.assert_allclose(fitted.predict(others), scores_at(others), rtol=1e-4)
    assert chosen_form(TRIED, scores_at(TRIED)) == "share"
    errors = left_out_error(TRIED, scores_at(TRIED, 0.01), "share")
    by_hand = [
        np.log(scores_at(TRIED, 0.01)[row])
        - np.log(fit(np.delete(TRIED, row, 0), np.delete(scores_at(TRIED, 0.01), row, 0), "share").predict(TRIED)[row])
        for row in range(len(TRIED))
    ]
    np.testing.assert_allclose(errors, by_hand, atol=1e-4)


def test_the_best_mixture_is_that_of_a_search_over_all_hundredths() -> None:
    most = np.array([1.0, 0.55, 1.0])
    found = best_mixture(TRIED, scores_at(TRIED), HALVES, most, "share")
    low, high = TRIED.min(axis=0), np.minimum(TRIED.max(axis=0), most)
    steps = (np.array([a, b, 100 - a - b]) / 100 for a, b in itertools.product(range(101), range(101)) if a + b <= 100)
    grid = np.array([row for row in steps if (row >= low - 1e-9).all() and (row <= high + 1e-9).all()])
    best = grid[(scores_at(grid) @ HALVES).argmin()]
    np.testing.assert_allclose(found.shares, best, atol=0.011)
    assert found.score <= (scores_at(grid) @ HALVES).min() + 1e-4
    assert found.shares[1] <= 0.55 + 1e-6
    assert (found.low <= found.shares + 0.02).all()
    assert (found.shares - 0.02 <= found.high).all()


def test_the_interval_of_the_prediction_holds_what_a_new_run_scores(monkeypatch) -> None:
    monkeypatch.setattr("pipeline.study.mixtures.regression._DRAWS", 50)
    hits = 0
    for trial in range(12):
        noise = 1 + 0.01 * np.random.default_rng(trial).standard_normal((len(TRIED), 2))
        found = best_mixture(TRIED, scores_at(TRIED) * noise, HALVES, np.ones(3), "share")
        new = scores_at(found.shares[None, :])[0] * (1 + 0.01 * np.random.default_rng(100 + trial).standard_normal(2))
        hits += found.score_low <= new @ HALVES <= found.score_high
    assert hits >= 10


def searched(**changed: object) -> MixtureSearch:
    return MixtureSearch.model_validate(SEARCH | changed)


def found_by(search: MixtureSearch, tokens: int = 10_000_000) -> MixtureSummary:
    runs = {
        name: dict(zip(("web", "books"), scores_at(np.array([list(mixture.values())]))[0].tolist(), strict=True))
        for name, mixture in mixtures_of(search).items()
    }
    return search_mixture(search, runs, dict.fromkeys(HAND, tokens))


def test_repeats_limit_what_is_taken_of_a_small_corpus() -> None:
    free, held = found_by(searched()), found_by(searched(most_repeats=2.0), tokens=170_000)
    assert free.shares["books"] > 0.35
    assert held.most == dict.fromkeys(HAND, pytest.approx(0.34))
    assert max(held.shares.values()) <= 0.341


def test_repeats_that_allow_no_mixture_say_what_to_change() -> None:
    with pytest.raises(StudyError, match=r"no more than 30% of for_tokens can be had.*raise most_repeats"):
        found_by(searched(most_repeats=1.0), tokens=100_000)


def test_the_found_mixture_beats_the_hand_made_one_where_the_law_says_so() -> None:
    found = found_by(searched())
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.predicted < found.by_hand
    assert len(found.runs) == 12
    assert found.runs[0] == {"run": "proxy_mixture_01", **HAND, "score": pytest.approx(found.by_hand, rel=1e-3)}


def test_stages_that_ask_take_what_was_found_and_others_stay() -> None:
    found = found_by(searched())
    asking = StageSettings.model_validate({"name": "mixture", "mixture": {"search": HAND}})
    other = StageSettings.model_validate({"name": "first", "mixture": {"verse": 1}})
    assert asking.searched
    first, second = with_found((other, asking), found)
    assert first is other
    assert {name: amount.weight for name, amount in second.mixture.items()} == found.shares
    assert "searched" not in identity_of(other)
    with pytest.raises(StudyError, match="stage 'mixture' asks for a searched mixture of web, and"):
        with_found((StageSettings.model_validate({"name": "mixture", "mixture": {"search": {"web": 1}}}),), found)


def run(score: float) -> RunResult:
    return RunResult({}, 1.0, 1.0, 1, 1, 1, "finished", bits_per_byte={"web": score, "books": score})


def test_the_test_holds_the_prediction_against_paired_runs() -> None:
    search = searched(tests=("found", "hand"))
    arms = {"found": {1: run(1.9), 2: run(1.92)}, "hand": {1: run(2.0), 2: run(2.02)}}
    judged = judge_mixtures(search, found_by(searched()), arms)
    assert [row["bits_per_byte"] for row in judged.arms] == [1.91, 2.01]
    assert judged.arms[1]["against_found"].startswith("-0.1000")
    assert judged.measured_gain == pytest.approx(1 - 1.91 / 2.01, abs=1e-4)
    assert judged.predicted_gain > 0


OWN = """
extends: study
schedule: {stages: [{name: mixture, mixture: {search: {fineweb_edu: 0.6, books: 0.2, textbooks: 0.2}}}]}
study:
  mixture_search:
    corpora: {fineweb_edu: 0.6, books: 0.2, textbooks: 0.2}
    weights: {fineweb_edu: 1, books: 1}
    arm: lean
    mixtures: 8
    tokens: 200_000
    for_tokens: 3_000_000
    tests: [lean, baseline]
"""


def profile_of(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return load_profile(str(path))


def test_the_graph_has_a_run_for_every_mixture_and_what_asks_depends_on_the_search(tmp_path) -> None:
    profile = profile_of(tmp_path, OWN)
    assets = {asset.key: asset for asset in every_asset(profile)}
    runs = [f"ablation/proxy_mixture_{number:02d}" for number in range(1, 9)]
    assert set(runs) < set(assets)
    assert assets["mixture_search"].inputs == [*runs, "ablation_tokens/bpe_2k"]
    assert "mixture_search" in assets["schedule"].inputs
    assert "mixture_search" in assets["ablation_data/base"].inputs, "which takes the schedule's stages"
    assert "mixture_search" not in assets["ablation_data/web_only"].inputs
    assert list(assets["mixture_test"].inputs) == ["mixture_search", "ablation/lean", "ablation/baseline"]
    plain = {asset.key: asset for asset in every_asset(load_profile("study"))}
    assert identity_of(plain["ablation_data/base"].settings) == identity_of(
        {asset.key: asset for asset in every_asset(load_profile("study"))}["ablation_data/base"].settings
    )
    assert assets["ablation_data/web_only"].settings == plain["ablation_data/web_only"].settings


def test_proxies_are_the_arms_recipe_at_the_searchs_size(tmp_path) -> None:
    text = OWN.replace("    mixtures: 8", "    mixtures: 8\n    change: {model.layers: 2}")
    plan = profile_of(tmp_path, text).study_plan
    proxies = proxy_plan(plan, plan.settings.mixture_search)
    arm = proxies.arm("proxy_mixture_01")
    assert (arm.model.layers, arm.model.position, arm.training.optimizer.kind) == (2, "rope", "muon")
    assert (arm.budget.tokens, arm.seeds) == (200_000, (1,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            OWN.split("study:\n")[0].replace("study", "sample").replace("textbooks", "wikipedia"),
            "no study.mixture_search",
        ),
        (OWN.replace("arm: lean", "arm: laen"), r"mixture_search.arm: there is no arm 'laen'; did you mean 'lean'\?"),
        (
            OWN.replace("weights: {fineweb_edu", "weights: {fineweb"),
            r"mixture_search.weights: 'fineweb' is not in heldout",
        ),
        (OWN.replace("mixtures: 8", "mixtures: 5"), "5 runs cannot say what 3 corpora are worth; take 6 at least"),
        (
            OWN.replace("corpora: {fineweb_edu", "corpora: {fineweb"),
            "study.mixture_search.corpora: 'fineweb' is not in",
        ),
        (OWN.replace("books: 0.2, textbooks: 0.2}}}]", "books: {tokens: 5}}}}]"), "a searched mixture is of weights"),
    ],
)
def test_a_search_that_cannot_be_made_is_told_where_the_profile_is_read(tmp_path, text, message) -> None:
    with pytest.raises(ProfileError, match=message):
        profile_of(tmp_path, text)
