"""From the scores of small runs to the mixture that is best: a log-linear regression, and its minimum.

In: the shares of the mixtures that were tried and the bits per byte of each held-out corpus. The logarithm of these is
linear in the shares (as in Olmix, Chen et al. 2026, and the exponential of Ye et al. 2024), or in the logarithms of the
shares, which bends more where a corpus is hardly there: whichever predicts runs that it was not fitted to better. Out:
the shares of least weighted bits per byte within what was tried and what repeats allow, with intervals over fits to
runs drawn anew (bootstrap).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.base.errors import StudyError

FORMS: Final = ("share", "log share")
_SMALL: Final = 0.01
"""Added to a share before its logarithm is taken: of the size of the smallest that is tried."""
_RIDGE: Final = 1e-6
_DRAWS: Final = 200
_STARTS: Final = 4


@dataclass(frozen=True)
class Regression:
    """Predicts the bits per byte of K held-out corpora from the shares of J corpora."""

    form: str
    """One of `FORMS`."""
    coefficients: np.ndarray
    """float64 [features, K]"""

    def predict(self, shares: np.ndarray) -> np.ndarray:
        """Bits per byte, float64 [N, K], at shares, float64 [N, J]."""
        return np.exp(_features(self.form, shares) @ self.coefficients)


@dataclass(frozen=True)
class Best:
    """The best mixture, with 95% intervals."""

    shares: np.ndarray
    """float64 [J]"""
    low: np.ndarray
    high: np.ndarray
    score: float
    """Weighted bits per byte, predicted."""
    score_low: float
    score_high: float
    """With the spread of a single run, as a test of it has."""


def fit(shares: np.ndarray, scores: np.ndarray, form: str) -> Regression:
    """The regression of least squared error of the logarithms. shares: float64 [N, J]; scores: float64 [N, K]."""
    inputs = _features(form, shares)
    square = inputs.T @ inputs + _RIDGE * np.eye(inputs.shape[1])
    return Regression(form, np.linalg.solve(square, inputs.T @ np.log(scores)))


def left_out_error(shares: np.ndarray, scores: np.ndarray, form: str) -> np.ndarray:
    """Errors of the logarithms of each run, predicted from all others, float64 [N, K] (by the hat matrix)."""
    inputs = _features(form, shares)
    square = inputs.T @ inputs + _RIDGE * np.eye(inputs.shape[1])
    hat = inputs @ np.linalg.solve(square, inputs.T)
    errors = np.log(scores) - hat @ np.log(scores)
    return errors / np.maximum(1 - np.diag(hat), 1e-6)[:, None]


def chosen_form(shares: np.ndarray, scores: np.ndarray) -> str:
    """The form of less error on runs that are left out."""
    errors = {form: float((left_out_error(shares, scores, form) ** 2).mean()) for form in FORMS}
    return min(FORMS, key=lambda form: errors[form])


def best_mixture(shares: np.ndarray, scores: np.ndarray, weights: np.ndarray, most: np.ndarray, form: str) -> Best:
    """The shares of least weighted score.

    Args:
        shares: float64 [N, J], of the runs.
        scores: float64 [N, K], their bits per byte.
        weights: float64 [K], adding up to 1.
        most: float64 [J], the largest share that repeats allow of each corpus.
        form: of the regression.

    Raises:
        StudyError: no mixture keeps within what repeats allow.
    """
    low, high = shares.min(axis=0), np.minimum(shares.max(axis=0), most)
    low = np.minimum(low, high)
    if high.sum() < 1:
        raise StudyError(
            f"study.mixture_search: within most_repeats no more than {high.sum():.0%} of for_tokens can be had of its "
            "corpora: raise most_repeats, lower for_tokens, or name another corpus"
        )
    fitted = fit(shares, scores, form)
    found = _least(fitted, weights, low, high, shares)
    spread = float((left_out_error(shares, scores, form) * scores @ weights).std())
    random = np.random.default_rng(0)
    drawn, values = [], []
    for _ in range(_DRAWS):
        rows = random.integers(len(shares), size=len(shares))
        again = fit(shares[rows], scores[rows], form)
        drawn.append(_least(again, weights, low, high, found[None, :]))
        values.append(float(again.predict(found[None, :])[0] @ weights) + spread * random.standard_normal())
    ends = np.percentile(np.array(drawn), [2.5, 97.5], axis=0)
    bottom, top = np.percentile(values, [2.5, 97.5])
    score = float(fitted.predict(found[None, :])[0] @ weights)
    return Best(found, ends[0], ends[1], score, float(bottom), float(top))


def _least(
    fitted: Regression, weights: np.ndarray, low: np.ndarray, high: np.ndarray, tried: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    """The shares within bounds that are predicted best, from several beginnings."""
    from scipy.optimize import minimize

    def score(shares: np.ndarray) -> float:
        return float(fitted.predict(shares[None, :])[0] @ weights)

    starts = sorted((_within(np.asarray(row), low, high) for row in tried), key=score)[:_STARTS]
    whole = {"type": "eq", "fun": lambda shares: shares.sum() - 1}
    bounds = list(zip(low, high, strict=True))
    found = [minimize(score, start, method="SLSQP", bounds=bounds, constraints=[whole]).x for start in starts]
    return min((_within(row, low, high) for row in [*found, *starts]), key=score)


def _within(shares: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Shares moved into their bounds, with a sum of 1: what is over goes where there is room, in proportion to it."""
    inside = np.clip(shares, low, high)
    missing = 1 - inside.sum()
    room = high - inside if missing > 0 else inside - low
    return inside + missing * room / max(room.sum(), 1e-12)


def _features(form: str, shares: np.ndarray) -> np.ndarray:
    """float64 [N, features]: the shares, whose sum of 1 stands for the constant; or 1 and their logarithms."""
    if form == "share":
        return shares
    return np.concatenate([np.ones((len(shares), 1)), np.log(shares + _SMALL)], axis=1)
