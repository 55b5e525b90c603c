"""The stream of residuals between the layers: what it holds of itself, its start and earlier layers before each runs.

Shape letters: B batch, T time, C width, L layers in the order they run.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trainer.model.config import ModelConfig


class Stream(nn.Module):
    """Before layer l: x <- kept_l * (x + skip_l * earlier_l) + start_l * x0 (modded-nanogpt).

    `kept` is learned from 1, and `start` from 0, a number each a layer run; x0 is what the first layer was given.
    `skip` (U-Net skips) is learned from 1 for the second half of the layers: the first of them is given the last one's
    output of the first half once more, and so on to the first one's output. Layers that run again by `recurrence` have
    no part in that.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        runs = len(config.order)
        self.kept = nn.Parameter(torch.ones(runs)) if config.residual_scalars else None
        self.start = nn.Parameter(torch.zeros(runs)) if config.x0_scalars else None
        once = [run for run in range(runs) if run not in config.reruns]
        half = len(once) // 2 if config.unet else 0
        self.skip = nn.Parameter(torch.ones(half)) if half else None
        self.joins = {once[-1 - place]: (once[place], place) for place in range(half)}
        """By layer run of the second half, the run of the first whose output it is given, and where its `skip` is."""
        self.sources = {source for source, _ in self.joins.values()}

    def forward(self, x_BTC: Tensor, x0_BTC: Tensor, run: int, outputs: Mapping[int, Tensor]) -> Tensor:
        """What layer run `run` is given, instead of x; `outputs` are those of the runs in `sources`."""
        if self.skip is not None and run in self.joins:
            source, place = self.joins[run]
            x_BTC = torch.addcmul(x_BTC, outputs[source], self.skip[place].to(x_BTC.dtype))
        if self.kept is not None:
            x_BTC = x_BTC * self.kept[run]
        if self.start is not None:
            x_BTC = torch.addcmul(x_BTC, x0_BTC, self.start[run].to(x_BTC.dtype))
        return x_BTC
