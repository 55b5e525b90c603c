"""Attention within documents and windows without a (T, T) mask in memory, where a compiler makes a kernel of the rule.

Torch's flex attention is given a function that says where a token may look, and keeps, for each block of queries, which
blocks of keys that is ever true of: for 64 rows of 4,096 tokens 0.3 MB in place of a mask of 1 GB, and blocks that are
masked whole are never computed. Its kernel exists only once it is compiled, and only for GPUs does it have gradients:
everywhere else a plain mask says the same.

Shape letters: B batch, T time, H heads, d head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def by_blocks(device: torch.device) -> bool:
    """Whether attention is computed so here."""
    return device.type == "cuda" and torch.compiler.is_compiling()


def block_mask(documents_BT: Tensor, window: int | None = None) -> Any:
    """The blocks in which a token looks at any other: not ahead, within its document, and no further back than `window`
    tokens, itself included. See `document_mask` and `window_mask`, which say the same token by token."""
    from torch.nn.attention.flex_attention import create_block_mask

    def looks(batch: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = (key <= query) & (documents_BT[batch, query] == documents_BT[batch, key])
        return seen if window is None else seen & (query - key < window)

    B, T = documents_BT.shape
    return create_block_mask(looks, B, None, T, T, device=str(documents_BT.device))


def attend_by_blocks(q_BHTd: Tensor, k_BHTd: Tensor, v_BHTd: Tensor, blocks: Any) -> Tensor:
    """Attention where `blocks` says, (B, H, T, d); keys and values may be of fewer heads. Autocast does not know flex
    attention, so what it would cast is cast here."""
    from torch.nn.attention.flex_attention import flex_attention

    kind = q_BHTd.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        q_BHTd, k_BHTd, v_BHTd = (x.to(dtype) for x in (q_BHTd, k_BHTd, v_BHTd))
    y: Any = flex_attention(q_BHTd, k_BHTd, v_BHTd, block_mask=blocks, enable_gqa=q_BHTd.shape[1] != k_BHTd.shape[1])
    attended: Tensor = y
    return attended
