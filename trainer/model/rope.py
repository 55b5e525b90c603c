"""Rotary position embeddings (Su et al. 2021), in the half-split layout of the Hugging Face classes.

In: positions and the model's settings. Out: cosine and sine tables in float32. They are worked out anew in every
forward pass (microseconds beside one matrix product), so there is no table to outgrow, to cast by accident or to
keep in step with a KV cache.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainer.model.config import ModelConfig
from trainer.model.sections import RopeScaling


def rope_frequencies(config: ModelConfig, device: torch.device) -> tuple[Tensor, float]:
    """Angle per position of each pair of features, float32 of (rotated width / 2), and the factor on cosine and sine.

    The factor is 1 except for YaRN, which cools the attention logits by its square (Peng et al. 2023, eq. 22).
    """
    width, scaling = config.rotated_width, config.rope_scaling
    exponent_d = torch.arange(0, width, 2, dtype=torch.float32, device=device) / width
    if scaling is None:
        return config.rope_base**-exponent_d, 1.0
    if scaling.kind == "linear":
        return config.rope_base**-exponent_d / scaling.factor, 1.0
    if scaling.kind == "ntk":
        return ntk_base(config) ** -exponent_d, 1.0
    frequency_d = config.rope_base**-exponent_d
    keep_d = _yarn_keep(config.rope_base, width, scaling, device)
    factor = 0.1 * math.log(scaling.factor) + 1.0
    return frequency_d * keep_d + frequency_d / scaling.factor * (1 - keep_d), factor


def ntk_base(config: ModelConfig) -> float:
    """The base at which the slowest frequency is stretched by the scaling's factor and the fastest not at all."""
    factor = 1.0 if config.rope_scaling is None else config.rope_scaling.factor
    return config.rope_base * factor ** (config.rotated_width / max(config.rotated_width - 2, 1))


def _yarn_keep(base: float, width: int, scaling: RopeScaling, device: torch.device) -> Tensor:
    """1 where a frequency is left alone, 0 where it is divided by the factor, a ramp in between."""

    def feature_of(turns: float) -> float:
        """The pair of features that makes so many turns over the original context."""
        return width * math.log(scaling.original_context / (turns * 2 * math.pi)) / (2 * math.log(base))

    low = max(math.floor(feature_of(scaling.beta_fast)), 0)
    high = min(math.ceil(feature_of(scaling.beta_slow)), width - 1)
    pair_d = torch.arange(width // 2, dtype=torch.float32, device=device)
    return 1 - ((pair_d - low) / max(high - low, 0.001)).clamp(0, 1)


def rope_tables(config: ModelConfig, positions_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine, each float32 of (B or 1, T, 1, rotated width), to broadcast over heads.

    The sine's first half is negated, so that `rotate` needs one roll and no negation.
    """
    frequency_d, factor = rope_frequencies(config, positions_BT.device)
    angle_BTd = positions_BT.float()[..., None] * frequency_d
    cos_BTd, sin_BTd = angle_BTd.cos() * factor, angle_BTd.sin() * factor
    return torch.cat((cos_BTd, cos_BTd), -1)[:, :, None], torch.cat((-sin_BTd, sin_BTd), -1)[:, :, None]


def rotate(x_BTHd: Tensor, cos_BT1d: Tensor, sin_BT1d: Tensor) -> Tensor:
    """Turn each pair of features (i, i + d/2) by its position's angle; keeps x's dtype.

    Of tables narrower than x (partial RoPE, GPT-NeoX) the features beyond them stay as they are.
    """
    width = cos_BT1d.shape[-1]
    if width < x_BTHd.shape[-1]:
        return torch.cat((rotate(x_BTHd[..., :width], cos_BT1d, sin_BT1d), x_BTHd[..., width:]), -1)
    half = x_BTHd.shape[-1] // 2
    return x_BTHd * cos_BT1d + x_BTHd.roll(half, -1) * sin_BT1d
