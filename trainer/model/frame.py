"""What all layers of one forward pass share: positions and masks, the KV cache, and which token comes before which.

Shape letters: B batch, T time, C width, H heads, d head width.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from trainer.errors import ConfigError
from trainer.model.config import ModelConfig
from trainer.model.dropout import SequenceDropout
from trainer.model.past import Past


@dataclass
class Frame:
    """What all layers of one forward pass share."""

    value_source: Tensor
    """What `value_embeddings` come from: token ids (B, T); or (B, T, features) that all layers share."""
    rope: tuple[Tensor, Tensor] | None = None
    """Cosine and sine for these positions."""
    mask: Tensor | None = None
    """True where a query (row) may look at a key (column), (B or 1, 1, T, keys); none: plain causal."""
    blocks: Any = None
    """In place of `mask`, where attention is computed by blocks of it: see `trainer.model.blocks`."""
    window_blocks: Any = None
    """Those of layers of short attention."""
    window: int | None = None
    """Tokens of a row that its tokens see at most in layers of short attention; none: `window_mask` alone says so."""
    window_mask: Tensor | None = None
    """`mask` for those layers."""
    cache: KVCache | None = None
    past: Past = field(default_factory=Past)
    """Which token comes before which."""
    dropout: SequenceDropout | None = None
    first_values: Tensor | None = None
    """The first layer's values (B, T, key heads, d), for `value_residual`."""
    adds_rows: bool = False
    """Whether the embedding's gradient is the rows that were looked up, which autograd adds to the output projection's
    gradient of the same weight; else a matrix of all rows, most of them zero."""
    auxiliary: list[Tensor] = field(default_factory=list)
    """Losses the MoE layers add, in nats summed over tokens."""


class KVCache:
    """Keys and values of the tokens seen so far, one pair a layer run, in tensors laid out once.

    What looks at a few tokens before each one (a convolution) keeps the last of its inputs in `tails`, by its site.
    """

    def __init__(self, config: ModelConfig, batch: int, capacity: int, device: torch.device, dtype: torch.dtype):
        shape = (len(config.order), 2, batch, config.key_value_heads, capacity, config.head_width)
        self.store = torch.empty(shape, device=device, dtype=dtype)
        self.tails: dict[str, Tensor] = {}
        self.capacity = capacity
        self.length = 0

    def append(self, run: int, k_BHTd: Tensor, v_BHTd: Tensor) -> tuple[Tensor, Tensor]:
        """Store this pass's keys and values of a layer's run behind the earlier ones; returns all of them.

        `length` moves on in `advance`, once all layers have stored. Raises `ConfigError` past the capacity.
        """
        end = self.length + k_BHTd.shape[2]
        if end > self.capacity:
            raise ConfigError(f"the KV cache holds {self.capacity} tokens, asked for {end}; make it larger")
        self.store[run, 0, :, :, self.length : end] = k_BHTd
        self.store[run, 1, :, :, self.length : end] = v_BHTd
        return self.store[run, 0, :, :, :end], self.store[run, 1, :, :, :end]

    def tail(self, site: str) -> Tensor | None:
        """The last inputs that a site kept of the tokens seen so far; none at a text's beginning."""
        return self.tails.get(site) if self.length else None

    def advance(self, tokens: int) -> None:
        self.length += tokens


def window_mask(positions_BT: Tensor, mask: Tensor | None, window: int, keys: int) -> Tensor | None:
    """`mask` without what is further back than `window` tokens, the looking one included; (B or 1, 1, T, keys).

    Positions are those of the queries, the last of the keys. None where plain causal attention sees no further.
    """
    T = positions_BT.shape[1]
    if keys <= window:
        return mask
    device = positions_BT.device
    keys_BK = positions_BT if keys == T else torch.arange(keys, device=device)[None]
    near_BTK = positions_BT[:, :, None] - keys_BK[:, None, :] < window
    if mask is None:
        mask = torch.ones(T, T, dtype=torch.bool, device=device).tril()
    return near_BTK[:, None] & mask


def document_index(ids_BT: Tensor, eot_id: int) -> Tensor:
    """Which document of its window each token belongs to, int64 of (B, T).

    The end-of-text token opens the document that follows it, as it does when held-out documents are scored: the
    model always sees it as the first token of a document.
    """
    return (ids_BT == eot_id).cumsum(1)


def document_mask(documents_BT: Tensor) -> Tensor:
    """True where a token may look: not ahead and within its document; bool of (B, 1, T, T)."""
    same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    return same_BTT.tril()[:, None]


def document_positions(documents_BT: Tensor) -> Tensor:
    """Positions that start again at 0 with every document, int64 of (B, T)."""
    steps_T = torch.arange(documents_BT.shape[1], device=documents_BT.device)
    first_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    first_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    return steps_T - torch.where(first_BT, steps_T, 0).cummax(1).values
