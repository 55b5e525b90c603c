"""Tokens beyond the next, predicted in training alone, so that hidden states say more of what comes.

A matrix for each, beside a residual, before the output projection that all share: what a block each is in Gloeckle et
al. 2024 and DeepSeek-V3. The matrices begin at zero. Nothing that scores, writes or is exported uses them.

Shape letters: B batch, T time, C width.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.config import ModelConfig
from trainer.model.layers import SideLinear
from trainer.model.loss import IGNORE


class Ahead(nn.Module):
    """The matrices of `predict_ahead`, the nearest token's first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, count = config.width, config.predict_ahead
        self.matrices = nn.ModuleList(SideLinear(width, width, bias=False) for _ in range(count))

    def forward(self, hidden_BTC: Tensor) -> list[Tensor]:
        """For each, what is projected on the vocabulary, (B, T, C)."""
        return [hidden_BTC + matrix(hidden_BTC).to(hidden_BTC.dtype) for matrix in self.matrices]


def targets_ahead(targets_BT: Tensor, number: int, documents_BT: Tensor | None) -> Tensor:
    """The targets `number` tokens beyond the next; -100 past a row's end, and a document's where documents are told."""
    ahead_BT = F.pad(targets_BT[:, number:], (0, number), value=IGNORE)
    if documents_BT is None:
        return ahead_BT
    there_BT = F.pad(documents_BT[:, number:], (0, number), value=-1)
    return ahead_BT.masked_fill(there_BT != documents_BT, IGNORE)
