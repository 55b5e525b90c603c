"""The order `shuffled`: a uniform permutation, which is what the keys are already."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.sharding.orders.order import Order


@dataclass(frozen=True)
class Shuffled(Order):
    """Documents in the order of their keys."""

    name = "shuffled"
