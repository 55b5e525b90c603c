"""Causal self-attention, with every variant a switch.

Shape letters: B batch, T time, C width, H heads, d head width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.blocks import attend_by_blocks
from trainer.model.config import ModelConfig
from trainer.model.dropout import SequenceDropout
from trainer.model.frame import Frame
from trainer.model.gates import HeadGate, QKGain
from trainer.model.kernels import kernels_in_use
from trainer.model.layers import RMSNorm
from trainer.model.linear import Linear
from trainer.model.mixing import ShortConvolution
from trainer.model.rope import rotate
from trainer.model.values import ValueEmbedding, ValueResidual

QUERY_BLOCK = 128  # queries whose attention weights are computed at once on a CPU
LONGEST_IN_BLOCKS = 512  # tokens; past it the weights kept for the backward pass take too much memory


def with_all_heads(q_BHTd: Tensor, k_BHTd: Tensor, v_BHTd: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values once for each query head.

    On a GPU torch's kernels that take a mask want as many heads of each; for grouped ones with a mask only its plain
    kernel is left, which holds T² weights a head.
    """
    groups = q_BHTd.shape[1] // k_BHTd.shape[1]
    return k_BHTd.repeat_interleave(groups, dim=1), v_BHTd.repeat_interleave(groups, dim=1)


def attend_in_blocks(
    q_BHTd: Tensor, k_BHTd: Tensor, v_BHTd: Tensor, mask: Tensor | None, window: int | None = None
) -> Tensor:
    """Causal attention for bf16 on a CPU, a block of queries at a time, over no key ahead of the block: (B, H, T, d).

    Torch's fused CPU kernel computes in float32 inside and so takes twice to three times as long in bf16 on some
    processors, and as long as this on others (`kernels.py`); in float32 it is as fast everywhere. The price is that
    T² / 2 attention weights a head are kept for the backward pass. `mask` (B or 1, 1, T, T) replaces plain causality
    and must not look ahead, nor further back than `window` tokens, itself included.
    """
    groups, T = q_BHTd.shape[1] // k_BHTd.shape[1], q_BHTd.shape[2]
    if groups > 1:
        k_BHTd, v_BHTd = (x.repeat_interleave(groups, dim=1) for x in (k_BHTd, v_BHTd))
    q_BHTd = q_BHTd * q_BHTd.shape[-1] ** -0.5
    bias = torch.zeros(T, T, dtype=q_BHTd.dtype)
    allowed = torch.ones(T, T, dtype=torch.bool).tril() if mask is None else mask
    bias = bias.masked_fill(~allowed, -torch.inf)
    blocks = []
    for start in range(0, T, QUERY_BLOCK):
        end = min(start + QUERY_BLOCK, T)
        first = 0 if window is None else max(0, start - window + 1)
        scores_BHtT = q_BHTd[:, :, start:end] @ k_BHTd[:, :, first:end].mT
        weights_BHtT = scores_BHtT.add_(bias[..., start:end, first:end]).softmax(-1)
        blocks.append(weights_BHtT @ v_BHTd[:, :, first:end])
    return torch.cat(blocks, dim=2)


class Attention(nn.Module):
    """One input projection, whose rows are (q | k | v) or, with `attention_input: 4n`, (q | k | v | gate).

    The gate (Qiu et al. 2025, gated attention) scales each feature of the attention's output by a sigmoid of the
    same input, which lets a head pass nothing on without parking its attention on the first token. QK-norm (Henry
    et al. 2020) is over each head before RoPE; it bounds the logits, which is what bears a high learning rate.
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        """`layer`: its place among the layers with weights of their own."""
        super().__init__()
        self.head_width = config.head_width
        self.grouped = config.key_value_heads != config.heads
        key_value_width = config.key_value_heads * config.head_width
        gate = (config.width,) if config.attention_input == "4n" else ()
        self.input_parts = (config.width, key_value_width, key_value_width, *gate)
        self.input = Linear(config.width, sum(self.input_parts), bias=config.bias)
        self.output = Linear(config.width, config.width, bias=config.bias)
        self.q_norm = RMSNorm(config.head_width, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_width, config.norm_eps) if config.qk_norm else None
        qkv_width = sum(self.input_parts[:3])
        self.convolution = ShortConvolution(qkv_width, config.canon_width) if "B" in config.canon else None
        self.values = ValueEmbedding(config) if config.has_value_embedding(layer) else None
        self.value_residual = ValueResidual() if config.value_residual else None
        self.head_gate = HeadGate(config.heads, config.width) if config.head_gate else None
        self.qk_gain = QKGain(config) if config.qk_gain is not None or config.learned_qk_gain else None
        self.windowed = config.is_windowed(layer)
        self.still = config.rotated_width if config.key_offset else None
        """Where the features of keys begin that come from the token before; none: there are no such features."""

    def forward(self, x_BTC: Tensor, frame: Frame, run: int) -> Tensor:
        B, T, C = x_BTC.shape
        q, k, v, *gate = self._inputs(x_BTC, frame, run)
        q_BTHd, k_BTHd, v_BTHd = (part.view(B, T, -1, self.head_width) for part in (q, k, v))
        if self.values is not None:
            v_BTHd = v_BTHd + self.values(x_BTC, frame)
        if self.value_residual is not None:
            v_BTHd = self.value_residual(v_BTHd, frame)
        if self.q_norm is not None and self.k_norm is not None:
            q_BTHd, k_BTHd = self.q_norm(q_BTHd), self.k_norm(k_BTHd)
        if self.qk_gain is not None:
            q_BTHd = self.qk_gain(q_BTHd)
        if frame.rope is not None:
            cos, sin = (table.to(q_BTHd.dtype) for table in frame.rope)
            q_BTHd, k_BTHd = rotate(q_BTHd, cos, sin), rotate(k_BTHd, cos, sin)
        if self.still is not None:
            (before_BTHd,) = frame.past.before(k_BTHd[..., self.still :], 1, f"{run} keys")
            k_BTHd = torch.cat((k_BTHd[..., : self.still], before_BTHd), -1)
        q_BHTd, k_BHTd, v_BHTd = (x.transpose(1, 2) for x in (q_BTHd, k_BTHd, v_BTHd))
        if frame.cache is not None:
            k_BHTd, v_BHTd = frame.cache.append(run, k_BHTd, v_BHTd)
        y_BTHd = self._attend(q_BHTd, k_BHTd, v_BHTd, frame).transpose(1, 2)
        if self.head_gate is not None:
            y_BTHd = self.head_gate(x_BTC).to(y_BTHd.dtype)[..., None] * y_BTHd
        y_BTC = y_BTHd.reshape(B, T, C)
        if gate:
            y_BTC = y_BTC * gate[0].sigmoid()
        return self.output(y_BTC)

    def _inputs(self, x_BTC: Tensor, frame: Frame, run: int) -> tuple[Tensor, ...]:
        """Queries, keys, values and the gate's input, each (B, T, its width)."""
        stacked = self.input(x_BTC)
        if self.convolution is None:
            parts: tuple[Tensor, ...] = stacked.split(self.input_parts, dim=-1)
            return parts
        qkv, *gate = stacked.split([sum(self.input_parts[:3]), *self.input_parts[3:]], dim=-1)
        return *self.convolution(qkv, frame.past, f"{run} qkv").split(self.input_parts[:3], dim=-1), *gate

    def _attend(self, q_BHTd: Tensor, k_BHTd: Tensor, v_BHTd: Tensor, frame: Frame) -> Tensor:
        if frame.blocks is not None:
            blocks = frame.window_blocks if self.windowed else frame.blocks
            return attend_by_blocks(q_BHTd, k_BHTd, v_BHTd, blocks)
        mask, window = (frame.window_mask, frame.window) if self.windowed else (frame.mask, None)
        if frame.dropout is not None:
            return self._attend_with_dropout(q_BHTd, k_BHTd, v_BHTd, mask, frame.dropout)
        T, keys = q_BHTd.shape[2], k_BHTd.shape[2]
        short = q_BHTd.device.type == "cpu" and q_BHTd.dtype == torch.bfloat16 and T == keys <= LONGEST_IN_BLOCKS
        if short and kernels_in_use().attention == "blocks":
            return attend_in_blocks(q_BHTd, k_BHTd, v_BHTd, mask, window)
        grouped = self.grouped
        if grouped and mask is not None and q_BHTd.device.type != "cpu":
            k_BHTd, v_BHTd, grouped = *with_all_heads(q_BHTd, k_BHTd, v_BHTd), False
        return F.scaled_dot_product_attention(
            q_BHTd, k_BHTd, v_BHTd, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped
        )

    def _attend_with_dropout(
        self, q_BHTd: Tensor, k_BHTd: Tensor, v_BHTd: Tensor, mask: Tensor | None, dropout: SequenceDropout
    ) -> Tensor:
        """Attention spelt out: the fused kernels draw their masks from one generator for the whole batch."""
        k_BHTd, v_BHTd = with_all_heads(q_BHTd, k_BHTd, v_BHTd)
        T = q_BHTd.shape[2]
        if mask is None:
            mask = torch.ones(T, T, dtype=torch.bool, device=q_BHTd.device).tril()
        scores_BHTT = (q_BHTd @ k_BHTd.transpose(-2, -1)) / math.sqrt(self.head_width)
        weights_BHTT = scores_BHTT.float().masked_fill(~mask, -torch.inf).softmax(-1)
        return dropout(weights_BHTT).to(v_BHTd.dtype) @ v_BHTd
