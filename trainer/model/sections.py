"""The groups of settings within `ModelConfig`: experts, RoPE past the trained length, layers that run again.

Free of torch, as `config.py` is, and valid once they exist.
"""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from trainer.settings import STRICT_KEYS, BelowOne, Count, Number, Positive, Whole


@dataclass(frozen=True, config=STRICT_KEYS)
class MoEConfig:
    """The experts of `mlp: moe`. Active per token: `top_k` experts and the shared one."""

    experts: Count = 8
    top_k: Count = 2
    expert_width: Count | None = None
    """Hidden width of one expert; none: the dense `ff_width` over the experts a token uses, so that the dense model
    is the twin of equal active parameters (rounded down to a multiple of 8, which grouped products need)."""
    shared_expert: bool = False
    """One more expert of the same width that every token passes (DeepSeekMoE)."""
    activation: Literal["gelu", "gelu_erf", "swiglu", "relu2"] = "swiglu"
    """That of the dense twin, or the comparison says nothing."""
    normalize_top_k: bool = True
    """The chosen experts' weights sum to `top_k`: each weighs 1 on average, like the part of the dense MLP that it
    replaces. With a sum of 1, the output starts at half (top-2) of its twin's and learns at half the rate under Muon,
    whose updates have one size. Off: the router's probabilities as they are."""
    balance: Literal["aux", "bias", "none"] = "aux"
    """`aux`: the auxiliary loss of Switch and DeepSeek-V3, per sequence. `bias`: without a loss, a bias on the choice
    alone that rises for experts under their mean load and falls over it (Wang et al. 2024)."""
    aux_weight: BelowOne = 0.01
    bias_rate: BelowOne = 0.001
    """How far `balance: bias` moves an expert's bias each optimizer step."""
    z_weight: BelowOne = 0.001
    """Of the router z-loss (ST-MoE): keeps the router's logits small; 0 leaves it out."""

    def __post_init__(self) -> None:
        if self.experts < 2:
            raise ValueError(f"experts must be at least 2, found {self.experts}; one expert is the dense model")
        if self.top_k > self.experts:
            raise ValueError(f"top_k must be from 1 to experts ({self.experts}), found {self.top_k}")
        if self.expert_width is not None and self.expert_width % 8:
            raise ValueError(f"expert_width must be a multiple of 8, found {self.expert_width}")


@dataclass(frozen=True, config=STRICT_KEYS)
class RopeScaling:
    """How RoPE runs past the trained length.

    `linear` divides positions by `factor` (Chen et al. 2023); `ntk` raises the base so that only slow frequencies
    stretch (bloc97 2023); `yarn` divides slow frequencies, leaves fast ones, and cools attention (Peng et al. 2023).
    """

    kind: Literal["linear", "ntk", "yarn"]
    factor: Number
    """Length to run at over length trained at."""
    original_context: Count
    """Tokens the model was trained at."""
    beta_fast: Number = 32.0
    """YaRN: turns over the original context above which a frequency is left alone."""
    beta_slow: Positive = 1.0
    """YaRN: turns below which a frequency is divided by `factor`."""

    def __post_init__(self) -> None:
        if not self.factor >= 1:
            raise ValueError(f"factor must be at least 1, found {self.factor}")
        if not self.beta_slow < self.beta_fast:
            raise ValueError(f"beta_slow must be below beta_fast, found {self.beta_slow}, {self.beta_fast}")


@dataclass(frozen=True, config=STRICT_KEYS)
class Recurrence:
    """Layers that run again, one after the other, once the last of them has run (depth recurrence)."""

    first: Whole
    """Of the layers, counted from 0."""
    last: Whole
    times: Count = 1
    """How often they run again."""

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"recurrence goes from first to last, found {self.first} and {self.last}")
