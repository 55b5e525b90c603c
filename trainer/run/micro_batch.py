"""How many sequences a rank computes at once where nobody says so; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trainer.config import RunConfig

MICRO_BATCH_TOKENS: Final[Mapping[str, int]] = {"cpu": 4096, "cuda": 65_536, "mps": 8192}
"""Tokens computed at once: what fits a CPU's caches, and more than enough to fill a GPU."""


def largest_micro_batch(config: RunConfig, world_size: int, device: str) -> int:
    """Sequences, no more than a rank's share of a batch; `device`: its kind."""
    context = config.model.context
    share = -(-config.training.sequences_per_batch(context) // world_size)
    return min(share, max(1, MICRO_BATCH_TOKENS[device] // context))
