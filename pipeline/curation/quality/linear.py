"""A linear model over bags of hashed n-grams: fitted by L-BFGS, calibrated on texts that it did not see.

A text's margin is the sum of its n-grams' weights over the root of their number, plus a bias: about what a model over
bags of unit length gives, and without the sort that a bag takes. As a classifier its probability is that of the text
being one of the good where both sides are equally likely (Platt 1999: two numbers fitted on the validation texts); as a
regression the margin is the score, in its own units.

What it finds depends on no number of workers; it is the same on any machine up to the rounding of sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.base.files import whole_path
from pipeline.curation.quality.ngrams import Ngrams

_MOST_STEPS: Final = 100
_PLATT_STEPS: Final = 50


@dataclass(frozen=True)
class LinearModel:
    """Weights, and how a margin becomes a score."""

    weights: np.ndarray
    """float32 [2**bits + 1]; the last one is 0, of what is no n-gram."""
    bias: float
    ngram: int
    classifies: bool
    slope: float = 1.0
    offset: float = 0.0
    """The calibration: slope * margin + offset."""
    embedded: bool = False
    """Whether the weights are of tokens and a text counts as their mean; otherwise they are of hashed n-grams."""

    @property
    def bits(self) -> int:
        return (len(self.weights) - 1).bit_length() - 1

    def margins(self, ngrams: Ngrams) -> np.ndarray:
        """float64 [N], before calibration."""
        scale = _mean_scale(ngrams) if self.embedded else _scale(ngrams)
        return ngrams.sums(self.weights) * scale + self.bias

    def scores(self, ngrams: Ngrams) -> np.ndarray:
        """Probabilities of being good, or predicted scores, float64 [N]."""
        value = self.slope * self.margins(ngrams) + self.offset
        return sigmoid(value) if self.classifies else value

    def write(self, path: Path) -> None:
        """Keep it as one file."""
        numbers = np.array([self.bias, self.slope, self.offset], dtype=np.float64)
        kind = np.array([self.ngram, self.classifies, *([1] if self.embedded else [])], dtype=np.int64)
        with whole_path(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, weights=self.weights, numbers=numbers, kind=kind)

    @classmethod
    def read(cls, path: Path) -> LinearModel:
        """The inverse of `write`."""
        with np.load(path, allow_pickle=False) as file:
            bias, slope, offset = file["numbers"].tolist()
            ngram, classifies, *embedded = file["kind"].tolist()
            return cls(file["weights"], bias, ngram, bool(classifies), slope, offset, embedded=bool(embedded))


def fit(
    ngrams: Ngrams, targets: np.ndarray, importance: np.ndarray, *, bits: int, classifies: bool, penalty: float
) -> LinearModel:
    """The model of least loss, not yet calibrated: logistic regression, or ridge regression.

    Args:
        ngrams: N texts.
        targets: float64 [N]; 0 and 1 where it `classifies`.
        importance: float64 [N], what each text counts for; 1 on average.
        bits: of the buckets of `ngrams`.
        classifies: by logistic loss; otherwise by half the squared error, in units of the targets' spread.
        penalty: times half the squared length of the weights, added to the mean loss.
    """
    weights, bias = _least_loss(_bags(ngrams, bits), targets, importance, classifies=classifies, penalty=penalty)
    return LinearModel(np.append(weights, 0.0).astype(np.float32), bias, ngrams.buckets.shape[1], classifies)


def fit_embedded(
    tokens: Ngrams,
    vectors: np.ndarray,
    targets: np.ndarray,
    importance: np.ndarray,
    *,
    classifies: bool,
    penalty: float,
) -> LinearModel:
    """The same over the means of tokens' vectors (float32 [V, D]), each of whose numbers is in units of its spread, as
    one weight a token."""
    from scipy.sparse import csr_matrix

    scale = np.repeat(_mean_scale(tokens), tokens.counts)
    shape = len(tokens.counts), len(vectors)
    means = csr_matrix((scale, tokens.buckets[:, 0].astype(np.int32), tokens.offsets), shape=shape) @ vectors
    middle, spread = means.mean(axis=0), np.maximum(means.std(axis=0), 1e-6)
    found, bias = _least_loss((means - middle) / spread, targets, importance, classifies=classifies, penalty=penalty)
    of_tokens = vectors @ (found / spread)
    bias -= float(middle @ (found / spread))
    return LinearModel(np.append(of_tokens, 0.0).astype(np.float32), bias, 1, classifies, embedded=True)


def _least_loss(
    bags: Any, targets: np.ndarray, importance: np.ndarray, *, classifies: bool, penalty: float
) -> tuple[np.ndarray, float]:
    """Weights and bias of the least loss over texts as rows of numbers, [N, F], dense or sparse."""
    from scipy.optimize import minimize

    size = bags.shape[1]
    middle, spread = (0.0, 1.0) if classifies else (float(targets.mean()), float(targets.std()) or 1.0)
    wanted, counted = (targets - middle) / spread, importance / len(targets)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = parameters[:-1], parameters[-1]
        margins = bags @ weights + bias
        if classifies:
            each, error = np.logaddexp(0.0, margins) - wanted * margins, sigmoid(margins) - wanted
        else:
            error = margins - wanted
            each = 0.5 * error * error
        pull = counted * error
        gradient = np.append(bags.T @ pull + penalty * weights, pull.sum())
        return float(counted @ each + 0.5 * penalty * (weights @ weights)), gradient

    limits = {"maxiter": _MOST_STEPS, "maxfun": 2 * _MOST_STEPS, "ftol": 1e-7, "gtol": 1e-7}
    found = minimize(loss, np.zeros(size + 1), jac=True, method="L-BFGS-B", options=limits).x
    return found[:-1] * spread, float(found[-1] * spread + middle)


def _bags(ngrams: Ngrams, bits: int) -> Any:
    """The texts as a sparse matrix [N, 2**bits] of n-grams, each counted as often as it occurs, over their roots."""
    from scipy.sparse import csr_matrix

    there = ngrams.buckets < 1 << bits
    counts = ngrams.counts
    values = np.repeat(_scale(ngrams), counts)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return csr_matrix((values, ngrams.buckets[there].astype(np.int32), offsets), shape=(len(counts), 1 << bits))


def platt(margins: np.ndarray, good: np.ndarray, importance: np.ndarray) -> tuple[float, float]:
    """Slope and offset by which margins become calibrated log-odds (Platt 1999, with its smoothed targets).

    margins: float64 [N]; good: bool [N]; importance: float64 [N]. Newton's method; the slope is never below 0.
    """
    counts = np.array([(~good).sum(), good.sum()], dtype=np.float64)
    target = np.where(good, (counts[1] + 1) / (counts[1] + 2), 1 / (counts[0] + 2))
    inputs = np.stack([margins, np.ones_like(margins)], axis=1)
    solution = np.array([1.0, 0.0])
    for _ in range(_PLATT_STEPS):
        likely = sigmoid(inputs @ solution)
        slope = inputs.T @ (importance * (likely - target))
        curvature = (inputs * (importance * likely * (1 - likely))[:, None]).T @ inputs + 1e-9 * np.eye(2)
        move = np.linalg.solve(curvature, slope)
        solution = solution - move * min(1.0, 2.0 / max(float(np.abs(move).max()), 1e-12))
        if np.abs(move).max() < 1e-9:
            break
    return max(float(solution[0]), 0.0), float(solution[1])


def sigmoid(values: np.ndarray) -> np.ndarray:
    """The logistic function, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * values))


def _mean_scale(tokens: Ngrams) -> np.ndarray:
    return 1.0 / np.maximum(np.diff(tokens.offsets), 1)


def _scale(ngrams: Ngrams) -> np.ndarray:
    return 1.0 / np.sqrt(np.maximum(ngrams.counts, 1))
