"""Tokens that take in a little of their neighbours before attention does: the one-token smear and short convolutions.

Both begin as if they were not there: a gate and kernels of zeros.

Shape letters: B batch, T time, C channels, W width of a kernel.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.past import Past

GATE_FEATURES = 12  # of the input that a gate reads: modded-nanogpt's number


class Smear(nn.Module):
    """x_t + share * sigmoid(gate(x_t)) * x_{t-1}, the gate reading the token's first features (modded-nanogpt)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(1, min(GATE_FEATURES, width)))
        self.share = nn.Parameter(torch.zeros(1))

    def forward(self, x_BTC: Tensor, past: Past) -> Tensor:
        (before_BTC,) = past.before(x_BTC, 1, "smear")
        gate_BT1 = F.linear(x_BTC[..., : self.gate.shape[1]], self.gate).sigmoid()
        return x_BTC + (self.share * gate_BT1).to(x_BTC.dtype) * before_BTC


class ShortConvolution(nn.Module):
    """x_t + sum over i < W of kernel_i * x_{t-i}, channel by channel: a "Canon layer" (Allen-Zhu 2025, Physics of
    Language Models 4.1), which is a causal depthwise convolution beside a residual.

    Written as shifted products: on a CPU `conv1d` takes longer.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(width, channels))

    def forward(self, x_BTC: Tensor, past: Past, site: str) -> Tensor:
        kernel_WC = self.kernel.to(x_BTC.dtype)
        if past.is_plain and x_BTC.device.type == "cpu" and not torch.compiler.is_compiling():
            y: Tensor = _Shifted.apply(x_BTC, kernel_WC)
            return y
        y_BTC = torch.addcmul(x_BTC, x_BTC, kernel_WC[0])
        if len(kernel_WC) == 1:
            return y_BTC
        for tap_BTC, weight_C in zip(past.before(x_BTC, len(kernel_WC) - 1, site), kernel_WC[1:], strict=True):
            y_BTC = torch.addcmul(y_BTC, tap_BTC, weight_C)
        return y_BTC


class _Shifted(torch.autograd.Function):
    """The convolution of whole rows in place: autograd's own would lay out every shift anew, there and back."""

    @staticmethod
    def forward(ctx: Any, x_BTC: Tensor, kernel_WC: Tensor) -> Tensor:
        ctx.save_for_backward(x_BTC, kernel_WC)
        y_BTC = x_BTC * (1 + kernel_WC[0])
        for steps in range(1, min(len(kernel_WC), x_BTC.shape[1])):
            y_BTC[:, steps:].addcmul_(x_BTC[:, :-steps], kernel_WC[steps])
        return y_BTC

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor]:
        (grad_BTC,) = grads
        x_BTC, kernel_WC = ctx.saved_tensors
        grad_x_BTC = grad_BTC * (1 + kernel_WC[0])
        grad_kernel_WC = torch.zeros_like(kernel_WC)
        grad_kernel_WC[0] = (grad_BTC * x_BTC).sum((0, 1))
        for steps in range(1, min(len(kernel_WC), x_BTC.shape[1])):
            grad_x_BTC[:, :-steps].addcmul_(grad_BTC[:, steps:], kernel_WC[steps])
            grad_kernel_WC[steps] = (grad_BTC[:, steps:] * x_BTC[:, :-steps]).sum((0, 1))
        return grad_x_BTC, grad_kernel_WC
