"""Initial weights: the switch `init`, over the blocks' matrices alone.

Embeddings, and a head that is not tied to them, are N(0, 0.02) under every setting. Xavier on a tied 50k-row embedding
would be far too small, and logits of a large spread at the start only have to be unlearnt. Matrices stacked in one
parameter (q | k | v | gate, the SwiGLU's gate | value) are drawn each as if alone, and experts as the dense MLP they
replace, or the switch would mean something else for `4n` than for `3n`, and for MoE than for its twin.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trainer.model.attention import Attention
from trainer.model.config import ModelConfig
from trainer.model.layers import MLP, SideTable
from trainer.model.moe import Experts, MoE

GPT2_STD = 0.02


@torch.no_grad()
def initialize(model: nn.Module, config: ModelConfig) -> None:
    """Fill every parameter of `model` in place, drawing from torch's global generator in the order of its modules."""
    for name, module in model.named_modules():
        if isinstance(module, SideTable):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding) or name == "head":
            nn.init.normal_(module.weight, std=GPT2_STD)
        elif name == "embed_up":  # so that a token's vector is as large as without it
            nn.init.normal_(module.weight, std=1 / math.sqrt(config.embedding_width or 1))
        elif isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for module in model.modules():
        if isinstance(module, Attention | MLP):
            _fill(module.input.weight, module.input_parts, config, is_output=False)
            _fill(module.output.weight, (config.width,), config, is_output=True)
        elif isinstance(module, Experts):
            dense = config.dense_ff_width
            _fill(module.input, module.input_parts, config, is_output=False, fans=(config.width, dense))
            _fill(module.output, (config.width,), config, is_output=True, fans=(dense, config.width))
        elif isinstance(module, MoE):
            nn.init.normal_(module.router.weight, std=GPT2_STD)
            if module.shared_gate is not None:
                nn.init.zeros_(module.shared_gate.weight)
    bigrams = getattr(model, "bigrams", None)
    if bigrams is not None and bigrams.up is not None:  # last, so that all else is drawn as without it
        nn.init.normal_(bigrams.up.weight, std=1 / math.sqrt(bigrams.up.in_features))


def _fill(
    weight: Tensor,
    parts: tuple[int, ...],
    config: ModelConfig,
    *,
    is_output: bool,
    fans: tuple[int, int] | None = None,
) -> None:
    """Draw each of the matrices stacked along the rows of (..., out, in). `fans` (in, out) replaces the shape's."""
    for part in weight.split(list(parts), dim=-2):
        fan_in, fan_out = fans or (part.shape[-1], part.shape[-2])
        std = _std(config, fan_in, fan_out, is_output=is_output)
        if std:
            part.normal_(std=std)
        else:
            part.zero_()


def _std(config: ModelConfig, fan_in: int, fan_out: int, *, is_output: bool) -> float:
    """Standard deviation of a block's matrix; 0 for the output projections of `scaled`."""
    match config.init:
        case "gpt2":  # residual projections by 1/sqrt(2 layers): their sum keeps its size (Radford et al. 2019)
            return GPT2_STD / math.sqrt(2 * config.layers) if is_output else GPT2_STD
        case "xavier":  # Glorot & Bengio 2010
            return math.sqrt(2 / (fan_in + fan_out))
        case "kaiming":  # He et al. 2015
            return math.sqrt(2 / fan_in)
        case "scaled":  # zero outputs: every block starts as the identity (muP's and Muon's habit)
            return 0.0 if is_output else 1 / math.sqrt(fan_in)
