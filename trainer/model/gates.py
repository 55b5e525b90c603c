"""Numbers that heads are scaled by: a gate on the layer's input, and a gain on queries.

Shape letters: B batch, T time, C width, H heads, d head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.config import ModelConfig
from trainer.model.mixing import GATE_FEATURES


class HeadGate(nn.Module):
    """2 * sigmoid(gate(x)), one for each head, of the input's first features; it begins at 1 (modded-nanogpt)."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(heads, min(GATE_FEATURES, width)))

    def forward(self, x_BTC: Tensor) -> Tensor:
        return 2 * F.linear(x_BTC[..., : self.weight.shape[1]], self.weight).sigmoid()


class QKGain(nn.Module):
    """How much sharper attention may be than QK-norm leaves it: a gain on queries, fixed or learned for each head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        start = 1.0 if config.qk_gain is None else config.qk_gain
        self.gain: Tensor | float = start
        if config.learned_qk_gain:
            self.gain = nn.Parameter(torch.full((config.heads,), start))

    def forward(self, q_BTHd: Tensor) -> Tensor:
        if isinstance(self.gain, Tensor):
            return q_BTHd * self.gain.to(q_BTHd.dtype)[:, None]
        return q_BTHd * self.gain
