"""The parts of a block that need no explanation of their own: norms and the dense MLP.

Shape letters: B batch, T time, C width, F hidden width of the MLP.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainer.model.config import ModelConfig
from trainer.model.frame import Frame
from trainer.model.linear import Linear
from trainer.model.mixing import ShortConvolution
from trainer.model.rms_norm import rms_norm


class RMSNorm(nn.Module):
    """`rms_norm` with a weight of its own."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


class SideTable(nn.Embedding):
    """An embedding beside the tokens' own. It begins at zero, as if it were not there, and draws no random numbers, so
    that all else begins as without it."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)


class SideLinear(Linear):
    """A matrix beside the blocks' own; begins as `SideTable` does."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)


def make_norm(config: ModelConfig) -> RMSNorm | nn.LayerNorm:
    """The norm of `config` over the model's width."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.width, config.norm_eps)
    return nn.LayerNorm(config.width, eps=config.norm_eps, bias=config.bias)


def relu_squared(x: Tensor) -> Tensor:
    """max(0, x) squared, with the gradient that torch would work out, bit for bit, in two passes over memory where it
    takes five. Has no second derivative but under torch.compile, which joins the passes itself."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return F.relu(x).square()
    y: Tensor = _ReluSquared.apply(x)
    return y


class _ReluSquared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = F.relu(x)
        ctx.save_for_backward(positive)
        return positive.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (grad,), (positive,) = grads, ctx.saved_tensors
        return (grad * positive).mul_(2)


def activate(hidden: Tensor, activation: str) -> Tensor:
    """(..., inputs of the activation) -> (..., F): gelu (tanh form, GPT-2), gelu_erf (Hendrycks & Gimpel 2016;
    a third of the other's time on a CPU), relu2 (So et al. 2021), or swiglu (Shazeer 2020), whose input holds gate
    and value, F each."""
    if activation == "swiglu":
        gate, value = hidden.chunk(2, dim=-1)
        return F.silu(gate) * value
    if activation == "gelu":
        return F.gelu(hidden, approximate="tanh")
    if activation == "gelu_erf":
        return F.gelu(hidden)
    return relu_squared(hidden)


def input_parts(activation: str, width: int) -> tuple[int, ...]:
    """Rows of the matrices stacked in an MLP's input projection: gate and value for swiglu, else one."""
    return (width, width) if activation == "swiglu" else (width,)


class MLP(nn.Module):
    """Up, activation, down. SwiGLU's gate and value are one projection: (gate | value) rows."""

    def __init__(self, config: ModelConfig, hidden: int, *, bias: bool) -> None:
        super().__init__()
        self.activation = config.activation
        self.input_parts = input_parts(self.activation, hidden)
        self.input = Linear(config.width, sum(self.input_parts), bias=bias)
        self.output = Linear(hidden, config.width, bias=bias)
        inner = sum(self.input_parts)
        self.convolution = ShortConvolution(inner, config.canon_width) if "D" in config.canon else None

    def forward(self, x_BTC: Tensor, frame: Frame, run: int) -> Tensor:
        hidden_BTF = self.input(x_BTC)
        if self.convolution is not None:
            hidden_BTF = self.convolution(hidden_BTF, frame.past, f"{run} mlp")
        return self.output(activate(hidden_BTF, self.activation))
