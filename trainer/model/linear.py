"""Matrix products: torch's own, but on a CPU in float32 through oneDNN.

In float32 torch multiplies with MKL, which keeps to AVX2 on processors that are not Intel's; oneDNN, which comes with
torch as well, uses AVX-512 on any and so takes less than half the time there, at the same float32 accuracy
(docs/benchmarks/training.md). Torch reaches it for bf16 by itself; for float32 the only way in is the operator that
torch.compile's own code calls. Where that is missing, for a few rows, and where MKL was found to be faster
(`kernels.py`), everything here is `torch.nn.functional`.

Shape letters: N rows, K features in, M features out.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.kernels import kernels_in_use

FEW_ROWS = 32  # below it preparing the product costs what it saves
HAS_ONEDNN = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


class Linear(nn.Linear):
    """`torch.nn.Linear` over `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight_MK: Tensor, bias_M: Tensor | None = None) -> Tensor:
    """(..., K) -> (..., M): `torch.nn.functional.linear`, with its gradients."""
    if not _goes_to_onednn(x, weight_MK) or x.numel() < FEW_ROWS * x.shape[-1]:
        return F.linear(x, weight_MK, bias_M)
    y: Tensor = _Linear.apply(x, weight_MK, bias_M)
    return y


def product(a_NK: Tensor, b_MK: Tensor, room: Tensor | None = None) -> Tensor:
    """a @ b.T of (N, K) and (M, K), without gradients. `room`, where there is some (`room_for_product`), is what it is
    written to: memory that was written to a moment ago takes a large product in half the time of new memory."""
    if _goes_to_onednn(a_NK, b_MK):
        return _onednn(a_NK, b_MK)
    return a_NK @ b_MK.T if room is None else torch.mm(a_NK, b_MK.T, out=room[: len(a_NK)])


def room_for_product(rows: int, b_MK: Tensor) -> Tensor | None:
    """For products of up to so many rows with `b_MK`, one after the other; none where they cannot be written to it."""
    if b_MK.device.type != "cpu" or b_MK.dtype == torch.float32 or torch.compiler.is_compiling():
        return None
    return b_MK.new_empty(rows, len(b_MK))


def weight_gradient(grad_NM: Tensor, x_NK: Tensor) -> Tensor:
    """grad.T @ x, (M, K): what the weight of x @ weight.T gets. Without gradients of its own."""
    if not _goes_to_onednn(grad_NM, x_NK):
        return grad_NM.T @ x_NK
    # of columns of a wider matrix oneDNN has no fast product: it takes minutes instead of milliseconds
    grad_NM, x_NK = grad_NM.contiguous(), x_NK.contiguous()
    if grad_NM.shape[1] <= x_NK.shape[1]:  # the left factor is copied to have its rows together: take the smaller
        return _onednn(grad_NM.T, x_NK.T)
    return _onednn(x_NK.T, grad_NM.T).T


def _goes_to_onednn(a: Tensor, b: Tensor) -> bool:
    return (
        HAS_ONEDNN
        and a.device.type == "cpu"
        and a.dtype == b.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and kernels_in_use().products == "onednn"
    )


def _onednn(a_NK: Tensor, b_MK: Tensor, bias_M: Tensor | None = None) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(a_NK, b_MK, bias_M, "none", [], "")
    return y


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_MK: Tensor, bias_M: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight_MK)
        return _onednn(x, weight_MK, bias_M)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, weight_MK = ctx.saved_tensors
        grad_NM = grad.reshape(-1, grad.shape[-1])
        need_x, need_weight, need_bias = ctx.needs_input_grad
        grad_x = product(grad_NM, weight_MK.T).view(x.shape) if need_x else None
        grad_weight = weight_gradient(grad_NM, x.reshape(-1, x.shape[-1])) if need_weight else None
        return grad_x, grad_weight, grad_NM.sum(0) if need_bias else None
