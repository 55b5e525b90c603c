"""The asset `mixture_search`: from finished proxy runs to the best mixture; and the test of what it predicted.

In: the runs of the designed mixtures, which are arms of a plan of their own (`proxy_plan`) and so artifacts, reused and
gone on with as any arm's; the corpora's sizes. Out: a `MixtureSummary`. What stages take of it: `with_found`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from pipeline.base.canonical import canonical_hash
from pipeline.base.errors import StudyError
from pipeline.sharding.settings import CorpusAmount, StageSettings
from pipeline.study.mixture_settings import MixtureSearch
from pipeline.study.mixtures.design import designed_mixtures
from pipeline.study.mixtures.regression import FORMS, best_mixture, chosen_form, fit, left_out_error
from pipeline.study.plan import StudyPlan
from pipeline.study.results.intervals import interval, paired, shown
from pipeline.study.results.run_result import FINISHED, RunResult
from pipeline.study.settings import Arm, Budget, StudyData, StudySettings

MIXTURE_SEARCH_VERSION: Final = "1"
MIXTURE_TEST_VERSION: Final = "1"
PROXY: Final = "proxy_mixture"
_HEADROOM: Final = 1.05
"""Tokens of a proxy's shards over those it trains on: a run takes whole batches, and the last document may be cut."""


@dataclass(frozen=True)
class MixtureSummary:
    """What was found. Scores are bits per byte, weighted as the search says."""

    content_hash: str
    shares: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    """95% intervals over fits to runs drawn anew."""
    predicted: float
    predicted_low: float
    predicted_high: float
    """What one proxy run on it would score."""
    by_hand: float
    """The prediction for the mixture made by hand."""
    form: str
    errors: dict[str, float]
    """By form, the root mean squared error of a run's logarithm predicted from all others: about its relative error."""
    most: dict[str, float]
    """The largest share of each corpus that repeats allow."""
    by_corpus: dict[str, float]
    """Predicted bits per byte of each held-out corpus."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """What was tried: shares, and the weighted score."""


@dataclass(frozen=True)
class MixtureTestSummary:
    """How the arms that were trained on the found mixture and others came out, seed by seed."""

    content_hash: str
    arms: list[dict[str, Any]]
    """By arm: seeds, mean and interval of the weighted score, difference to the first."""
    predicted_gain: float
    """Of the found mixture over that made by hand, by the regression: relative."""
    measured_gain: float | None
    """Over the first of the other arms: relative; none where one has no finished run."""


def proxy_name(number: int) -> str:
    """The arm and the data set of a mixture, numbered from 1."""
    return f"{PROXY}_{number:02d}"


def mixtures_of(search: MixtureSearch) -> dict[str, dict[str, float]]:
    """Every mixture that is tried, by the name of its arm."""
    designed = designed_mixtures(search.corpora, search.mixtures, search.seed)
    return {proxy_name(number): shares for number, shares in enumerate(designed, start=1)}


def proxy_plan(plan: StudyPlan, search: MixtureSearch) -> StudyPlan:
    """The plan whose arms are the small runs: the recipe of an arm of the study, with the search's changes."""
    study = plan.settings
    of_arm = study.data[study.data_of(search.arm)[0]]
    tried = mixtures_of(search)
    data = {
        name: StudyData(
            tokenizer=of_arm.tokenizer,
            tokens=int(search.tokens * _HEADROOM),
            stages=(StageSettings(name="mixture", mixture=_amounts(shares)),),
            tokens_per_shard=of_arm.tokens_per_shard,
        )
        for name, shares in tried.items()
    }
    change = study.changes(search.arm) | search.change
    arms = {name: Arm(title=_title(shares), data=name, change=change) for name, shares in tried.items()}
    settings = StudySettings(
        budget=Budget(tokens=search.tokens),
        seeds=(search.seed,),
        data=data,
        heldout=study.heldout,
        points=1,
        baseline=next(iter(arms)),
        arms=arms,
        seeds_at_once=study.seeds_at_once,
    )
    return dataclasses.replace(plan, settings=settings)


def search_mixture(
    search: MixtureSearch, runs: Mapping[str, Mapping[str, float]], tokens: Mapping[str, int]
) -> MixtureSummary:
    """The best mixture.

    Args:
        search: what it is to be good at.
        runs: bits per byte by held-out corpus of each finished run, by the name of its arm.
        tokens: training tokens of each corpus, by which repeats are limited.

    Raises:
        StudyError: too few runs are finished, or repeats allow no mixture.
    """
    names, judged = list(search.corpora), [name for name, weight in search.weights.items() if weight]
    tried = {name: shares for name, shares in mixtures_of(search).items() if name in runs}
    if len(tried) < len(names) + 3:
        raise StudyError(
            f"study.mixture_search: {len(tried)} of {search.mixtures} runs are finished, {len(names) + 3} are needed: "
            "the others diverged; lower the learning rate by `change`"
        )
    shares = np.array([[mixture[name] for name in names] for mixture in tried.values()])
    scores = np.array([[runs[arm][corpus] for corpus in judged] for arm in tried])
    weights = np.array([search.weights[corpus] for corpus in judged])
    weights = weights / weights.sum()
    most = np.array([search.most_repeats * tokens[name] / search.for_tokens for name in names])
    form = chosen_form(shares, scores)
    found = best_mixture(shares, scores, weights, most, form)
    fitted = fit(shares, scores, form)
    middle = np.array([[mixtures_of(search)[proxy_name(1)][name] for name in names]])
    best = _rounded(found.shares)
    errors = {each: float(np.sqrt((left_out_error(shares, scores, each) ** 2).mean())) for each in FORMS}
    predicted = fitted.predict(found.shares[None, :])[0]
    shares_found = _named(names, best)
    return MixtureSummary(
        content_hash=canonical_hash(shares_found),
        shares=shares_found,
        low=_named(names, found.low),
        high=_named(names, found.high),
        predicted=round(found.score, 5),
        predicted_low=round(found.score_low, 5),
        predicted_high=round(found.score_high, 5),
        by_hand=round(float(fitted.predict(middle)[0] @ weights), 5),
        form=form,
        errors={each: round(error, 5) for each, error in errors.items()},
        most=_named(names, most),
        by_corpus=_named(judged, predicted),
        runs=[
            {"run": arm, **mixture, "score": round(float(score), 5)}
            for (arm, mixture), score in zip(tried.items(), scores @ weights, strict=True)
        ],
    )


def _named(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, np.round(values, 5).tolist(), strict=True))


def with_found(stages: Sequence[StageSettings], found: MixtureSummary) -> tuple[StageSettings, ...]:
    """Stages with the shares that were found in place of those of stages that ask for them (`mixture: {search: ...}`).

    Raises StudyError for a stage that mixes other corpora than the search does.
    """
    return tuple(_with_found(stage, found) if stage.searched else stage for stage in stages)


def _with_found(stage: StageSettings, found: MixtureSummary) -> StageSettings:
    if stage.mixture.keys() != found.shares.keys():
        raise StudyError(
            f"stage {stage.name!r} asks for a searched mixture of {', '.join(stage.mixture)}, and study.mixture_search "
            f"mixes {', '.join(found.shares)}: name the same corpora"
        )
    return stage.model_copy(update={"mixture": _amounts(found.shares), "searched": False})


def judge_mixtures(
    search: MixtureSearch, found: MixtureSummary, arms: Mapping[str, Mapping[int, RunResult]]
) -> MixtureTestSummary:
    """How the found mixture did against the others. arms: the runs of `search.tests`, by seed, in their order."""
    weights = {corpus: weight / sum(search.weights.values()) for corpus, weight in search.weights.items()}
    scores = {
        arm: {seed: _weighted(run.bits_per_byte, weights) for seed, run in runs.items() if run.state == FINISHED}
        for arm, runs in arms.items()
    }
    first, *others = scores
    means = {arm: interval(list(of_seed.values())) for arm, of_seed in scores.items() if of_seed}
    rows: list[dict[str, Any]] = [
        {"arm": arm, "seeds": len(scores[arm]), "bits_per_byte": round(mean.mean, 5), "half": _finite(mean.half)}
        | ({} if arm == first else {"against_found": shown(paired(scores[first], scores[arm]))})
        for arm, mean in means.items()
    ]
    both = first in means and bool(others) and others[0] in means
    gain = round(1 - means[first].mean / means[others[0]].mean, 5) if both else None
    predicted = round(1 - found.predicted / found.by_hand, 5)
    return MixtureTestSummary(canonical_hash(rows), rows, predicted, gain)


def _weighted(scores: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return sum(scores[corpus] * weight for corpus, weight in weights.items() if weight)


def _finite(value: float) -> float | None:
    return round(value, 5) if np.isfinite(value) else None


def _rounded(shares: np.ndarray) -> np.ndarray:
    """Shares in thousandths, the largest of which makes up the sum."""
    rounded = np.round(shares, 3)
    rounded[int(rounded.argmax())] += 1 - rounded.sum()
    return np.round(rounded, 3)


def _amounts(shares: Mapping[str, float]) -> dict[str, CorpusAmount]:
    return {name: CorpusAmount(weight=share) for name, share in shares.items()}


def _title(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{share:.0%} {name}" for name, share in shares.items())
