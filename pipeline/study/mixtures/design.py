"""Which mixtures are tried: a set that spreads, so that a regression over them tells corpora apart.

In: a mixture made by hand. Out: it, and others around it, in hundredths. Candidates are drawn from a hash, as shares
times exponentials, and taken one by one where they add most to the determinant of the information matrix (D-optimal,
greedy). No library's generator is in it, so the set stays the same, and with it the runs that are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from pipeline.base.ids import splitmix64
from pipeline.study.mixture_settings import LEAST_SHARE

_CANDIDATES: Final = 512
_RIDGE: Final = 1e-3


def designed_mixtures(around: Mapping[str, float], count: int, seed: int) -> list[dict[str, float]]:
    """`count` different mixtures of these corpora, the given one first; shares are hundredths, and their sum is 1."""
    names = list(around)
    middle = _hundredths(np.array([around[name] for name in names], dtype=np.float64))
    drawn = splitmix64(np.arange(_CANDIDATES * len(names), dtype=np.uint64) + np.uint64(seed << 20))
    uniform = (drawn >> np.uint64(11)).astype(np.float64) / 2**53
    spread = middle * -np.log1p(-uniform.reshape(_CANDIDATES, -1))
    candidates = np.unique(np.stack([_hundredths(row) for row in spread]), axis=0)
    chosen = [middle]
    inverse = np.linalg.inv(_RIDGE * np.eye(len(names)) + np.outer(middle, middle))
    left = candidates[(candidates != middle).any(axis=1)]
    while len(chosen) < count and len(left):
        best = int(np.round(np.einsum("ij,jk,ik->i", left, inverse, left), 9).argmax())
        taken, left = left[best], np.delete(left, best, axis=0)
        chosen.append(taken)
        moved = inverse @ taken
        inverse -= np.outer(moved, moved) / (1 + taken @ moved)
    return [dict(zip(names, np.round(row, 2).tolist(), strict=True)) for row in chosen]


def _hundredths(weights: np.ndarray) -> np.ndarray:
    """Shares of at least `LEAST_SHARE` in whole hundredths, by largest remainders."""
    least = round(LEAST_SHARE * 100)
    wanted = np.maximum(weights / weights.sum() * 100, least)
    wanted -= (wanted.sum() - 100) * (wanted - least) / (wanted - least).sum()
    whole = np.floor(wanted + 1e-9)
    order = np.argsort(-(wanted - whole), kind="stable")
    whole[order[: round(100 - whole.sum())]] += 1
    return whole / 100
