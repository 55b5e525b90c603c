"""What a token's identity says straight to attention's values: value embeddings, and the first layer's values again.

Value embeddings (modded-nanogpt, nanochat) add rows looked up by token id to the values, or, without a table, a
projection of what the stream of residuals starts from. A gate for each head, which begins at 1, reads the layer's own
input; rows and projection begin at zero.

Shape letters: B batch, T time, C width, H key and value heads, d head width, v all of them (H * d).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.model.config import ModelConfig
from trainer.model.frame import Frame
from trainer.model.gates import HeadGate
from trainer.model.layers import SideLinear, SideTable


class ValueEmbedding(nn.Module):
    """A gate for each head times rows of its own, of the table all layers share, or projected, as the switch says."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        heads, width = config.key_value_heads, config.key_value_heads * config.head_width
        kind = config.value_embeddings
        self.table = SideTable(config.vocab_size, width) if kind == "table" else None
        self.projection = SideLinear(config.width, width, bias=False) if kind == "projected" else None
        self.gate = HeadGate(heads, config.width)

    def forward(self, x_BTC: Tensor, frame: Frame) -> Tensor:
        """What the layer with input x adds to its values, (B, T, H, d)."""
        values_BTv = frame.value_source
        if self.table is not None:
            values_BTv = self.table(values_BTv)
        elif self.projection is not None:
            values_BTv = self.projection(values_BTv)
        gate_BTH: Tensor = self.gate(x_BTC)
        return gate_BTH[..., None] * values_BTv.unflatten(-1, (gate_BTH.shape[-1], -1)).to(gate_BTH.dtype)


class ValueResidual(nn.Module):
    """v + share * (v of the first layer - v), share learned from 1/2 (Zhou et al. 2024, value residual learning)."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, v_BTHd: Tensor, frame: Frame) -> Tensor:
        if frame.first_values is None:  # the first layer's, which are mixed with themselves
            frame.first_values = v_BTHd
        return v_BTHd + self.share.to(v_BTHd.dtype) * (frame.first_values - v_BTHd)
