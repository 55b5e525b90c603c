"""RMSNorm, x / rms(x) * weight over the last dimension (Zhang & Sennrich 2019), with its gradients.

Torch has one kernel for it on a GPU, and its compiler makes one; on a CPU it is a dozen passes over memory, forward and
backward. Here they are made over a few rows at a time, which stay in the cache, and there are fewer of them: the
sums that both gradients need are products of one matrix.

Shape letters: N rows, C features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

NUMBERS = 1 << 16
"""Of each tensor, that are worked on at once."""


def rms_norm(x: Tensor, weight_C: Tensor, eps: float) -> Tensor:
    """x (..., C) over its root mean square, times the weight; computed in float32 or more, of x's dtype. Has no second
    derivative on a CPU but under torch.compile."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.rms_norm(x, weight_C.shape, weight_C.to(x.dtype), eps)
    y: Tensor = _RMSNorm.apply(x, weight_C, eps)
    return y


class _RMSNorm(torch.autograd.Function):
    """With r = 1 / rms(x): y = r w x, and so dw = sum of r x dy over rows, dx = r (w dy - x r² / C * sum of w x dy)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_C: Tensor, eps: float) -> Tensor:
        dtype = torch.promote_types(x.dtype, torch.float32)
        y = torch.empty(x.shape, dtype=x.dtype)
        inverse = torch.empty(*x.shape[:-1], 1, dtype=dtype)
        for some_x, some_y, some_inverse in _in_step(x, y, inverse):
            wide = some_x.to(dtype)
            norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
            torch.rsqrt(torch.addcmul(inverse.new_tensor(eps), norm, norm, value=1 / x.shape[-1]), out=some_inverse)
            some_y.copy_((wide * some_inverse).mul_(weight_C))
        ctx.save_for_backward(x, weight_C, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_C, inverse = ctx.saved_tensors
        grad_x = torch.empty(x.shape, dtype=x.dtype)
        wide_weight_C = weight_C.to(inverse.dtype)
        grad_weight_C = torch.zeros_like(wide_weight_C)
        for some_x, some_grad, some_grad_x, some_inverse in _in_step(x, grads[0], grad_x, inverse):
            wide, grad = some_x.to(inverse.dtype), some_grad.to(inverse.dtype)
            both_NC = (wide * grad).flatten(0, -2)
            inverse_N = some_inverse.flatten()
            grad_weight_C += inverse_N @ both_NC
            slope_N = (both_NC @ wide_weight_C).mul_(inverse_N).mul_(inverse_N).div_(-x.shape[-1])
            part = torch.addcmul(grad * wide_weight_C, wide, slope_N.view_as(some_inverse))
            some_grad_x.copy_(part.mul_(some_inverse))
        return grad_x, grad_weight_C.to(weight_C.dtype), None


def _in_step(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of the same rows of each, some after the other. Of slices of a wider matrix, which is how queries and keys
    come, only the first two dimensions are rows of one kind."""
    rows = [tensor.flatten(0, min(1, tensor.ndim - 2)) for tensor in tensors]
    size = max(1, NUMBERS // max(1, rows[0][0].numel())) if len(rows[0]) else 1
    return (tuple(tensor[start : start + size] for tensor in rows) for start in range(0, len(rows[0]), size))
