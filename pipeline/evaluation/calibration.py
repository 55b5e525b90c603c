"""How well a model knows how sure it may be, from what it expected at every token beside what came.

- Expected calibration error of the likeliest token: tokens in `BINS` bins of equal width by the probability that the
  model gave its likeliest token; the mean over tokens of |share that it was the right one - mean probability| of their
  bin (Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3).
- Loss beside entropy: the bits that a token took, and those that the model itself expected. The two are equal in the
  mean for a model that is calibrated (Braverman et al. 2020, "Calibration, Entropy Rates, and Memory in Language
  Models"); more loss than entropy is too sure, less too unsure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.evaluation.item_values import ratio_stderr

if TYPE_CHECKING:
    import numpy as np

    from trainer.scoring.predictions import Predictions

BINS: Final = 15


@dataclass(frozen=True)
class Bin:
    """Tokens whose likeliest token had a probability in one fifteenth of 0 to 1."""

    expected: float
    """Mean probability of the likeliest token."""
    observed: float
    """Share of tokens that it was."""
    tokens: int


@dataclass(frozen=True)
class Calibration:
    """Expected against observed, over the tokens of some documents."""

    loss: float
    """Bits a token took, in the mean."""
    entropy: float
    """Bits that the model expected it to take."""
    gap_stderr: float | None
    """One standard error of loss minus entropy, over documents."""
    error: float
    """Expected calibration error of the likeliest token, 0 to 1."""
    bins: tuple[Bin, ...]
    """Those that hold a token, the lowest first."""


def calibration(documents: Sequence[Predictions]) -> Calibration:
    """Of all tokens of documents of which at least one has any."""
    import numpy as np

    lengths = np.array([len(item.nats) for item in documents], dtype=np.float64)
    losses, entropies = (
        np.array([getattr(item, name).sum() for item in documents]) / math.log(2) for name in ("nats", "entropy")
    )
    confidence = np.concatenate([item.confidence for item in documents])
    bins = tuple(reliability(confidence, np.concatenate([item.right for item in documents])))
    return Calibration(
        loss=float(losses.sum() / lengths.sum()),
        entropy=float(entropies.sum() / lengths.sum()),
        gap_stderr=ratio_stderr(losses - entropies, lengths),
        error=sum(item.tokens * abs(item.observed - item.expected) for item in bins) / len(confidence),
        bins=bins,
    )


def reliability(confidence: np.ndarray, right: np.ndarray) -> list[Bin]:
    """The bins of a reliability diagram, without empty ones."""
    import numpy as np

    numbers = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    found = []
    for number in range(BINS):
        mask = numbers == number
        if mask.any():
            found.append(Bin(float(confidence[mask].mean()), float(right[mask].mean()), int(mask.sum())))
    return found
