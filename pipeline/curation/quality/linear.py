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

    @property
    def bits(self) -> int:
        return (len(self.weights) - 1).bit_length() - 1

    def margins(self, ngrams: Ngrams) -> np.ndarray:
        """float64 [N], before calibration."""
        return ngrams.sums(self.weights) * _scale(ngrams) + self.bias

    def scores(self, ngrams: Ngrams) -> np.ndarray:
        """Probabilities of being good, or predicted scores, float64 [N]."""
        value = self.slope * self.margins(ngrams) + self.offset
        return sigmoid(value) if self.classifies else value

    def write(self, path: Path) -> None:
        """Keep it as one file."""
        numbers = np.array([self.bias, self.slope, self.offset], dtype=np.float64)
        kind = np.array([self.ngram, self.classifies], dtype=np.int64)
        with whole_path(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, weights=self.weights, numbers=numbers, kind=kind)

    @classmethod
    def read(cls, path: Path) -> LinearModel:
        """The inverse of `write`."""
        with np.load(path, allow_pickle=False) as file:
            bias, slope, offset = file["numbers"].tolist()
            ngram, classifies = file["kind"].tolist()
            return cls(file["weights"], bias, ngram, bool(classifies), slope, offset)


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
    from scipy.optimize import minimize

    bags, size = _bags(ngrams, bits), 1 << bits
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
    weights = np.append(found[:-1] * spread, 0.0).astype(np.float32)
    return LinearModel(weights, float(found[-1] * spread + middle), ngrams.buckets.shape[1], classifies)


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


def _scale(ngrams: Ngrams) -> np.ndarray:
    return 1.0 / np.sqrt(np.maximum(ngrams.counts, 1))
