"""Embeddings of pairs of tokens: a row for the hash of a token and the one before it, added to the token's own.

As in modded-nanogpt, in a table of any size, in which pairs share rows; the last row is for tokens with none before
them. A narrower table goes up to the model's width by a matrix, as factorised embeddings do. The rows begin at zero.

Shape letters: B batch, T time, C width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.model.layers import SideLinear, SideTable
from trainer.model.past import Past

MULTIPLIERS = (36313, 27191)  # of a token and of the one before it: modded-nanogpt's


class BigramEmbedding(nn.Module):
    """`rows` rows of `table_width` features, or of the model's `width` without one."""

    def __init__(self, rows: int, table_width: int | None, width: int) -> None:
        super().__init__()
        self.table = SideTable(rows, table_width or width)
        self.up = None if table_width is None else SideLinear(table_width, width, bias=False)

    def forward(self, ids_BT: Tensor, past: Past) -> Tensor:
        """What is added to the embeddings of ids (B, T): (B, T, C)."""
        (before_BT,) = past.before(ids_BT, 1, "bigrams", fill=-1)
        pairs_BTC: Tensor = self.table(bigram_rows(ids_BT, before_BT, self.table.num_embeddings))
        return pairs_BTC if self.up is None else self.up(pairs_BTC).to(pairs_BTC.dtype)


def bigram_rows(ids_BT: Tensor, before_BT: Tensor, rows: int) -> Tensor:
    """The row of each token and the one before it, which is -1 where there is none; int64 (B, T)."""
    pairs_BT = torch.bitwise_xor(MULTIPLIERS[0] * ids_BT, MULTIPLIERS[1] * before_BT) % (rows - 1)
    return torch.where(before_BT < 0, rows - 1, pairs_BT)
