"""The stream of residuals between the layers: how much of itself and of its start it holds before each one runs.

Shape letters: B batch, T time, C width, L layers in the order they run.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.model.config import ModelConfig


class Stream(nn.Module):
    """Before layer l: x <- kept_l * x + start_l * x0, x0 being what the first layer was given (modded-nanogpt).

    One number each a layer run, learned from 1 and from 0.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        runs = len(config.order)
        self.kept = nn.Parameter(torch.ones(runs)) if config.residual_scalars else None
        self.start = nn.Parameter(torch.zeros(runs)) if config.x0_scalars else None

    def forward(self, x_BTC: Tensor, x0_BTC: Tensor, run: int) -> Tensor:
        if self.kept is not None:
            x_BTC = x_BTC * self.kept[run]
        if self.start is not None:
            x_BTC = torch.addcmul(x_BTC, x0_BTC, self.start[run].to(x_BTC.dtype))
        return x_BTC
