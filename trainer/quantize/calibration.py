"""What each matrix of a model is multiplied with on text: the second moments that rounding goes by.

In: a model and sequences of token ids. Out: by parameter, the sum of x x^T over its inputs x. Products are seen where
torch is asked for them, not module by module, so a switch of the model that multiplies with a matrix of its own needs
no line here; a matrix that is not seen (looked up, stacked, cut or transposed before it is used) has no moments.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

ROWS: Final = 8192
"""Inputs whose moments are summed at once."""


def second_moments(model: Any, ids_BT: Tensor) -> dict[str, Tensor]:
    """Float32 (C, C) of every parameter (R, C) that the model multiplies with when it computes the logits of `ids_BT`.

    `model` is a GPT in evaluation mode, on the CPU.
    """
    watch = _Products({parameter.data_ptr(): (name, parameter) for name, parameter in model.named_parameters()})
    with torch.no_grad(), watch:
        for ids_T in ids_BT:
            model(ids_T[None])
    return watch.moments


class _Products(TorchFunctionMode):
    """Adds up the moments of what is multiplied with known matrices."""

    def __init__(self, known: dict[int, tuple[str, nn.Parameter]]) -> None:
        super().__init__()
        self.known = known
        self.moments: dict[str, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _PRODUCTS and len(args) >= 2:
            self._see(args[0], args[1])
        return func(*args, **(kwargs or {}))

    def _see(self, inputs: Tensor, weight: Tensor) -> None:
        name, parameter = self.known.get(weight.data_ptr(), ("", None))
        if parameter is None or weight.shape != parameter.shape or weight.stride() != parameter.stride():
            return
        for x_NC in inputs.detach().reshape(-1, inputs.shape[-1]).float().split(ROWS):
            moments_CC = x_NC.T @ x_NC
            self.moments[name] = self.moments[name] + moments_CC if name in self.moments else moments_CC


def _products() -> set[Any]:
    """What torch calls a product with a matrix of the shape (out, in): its own, and oneDNN's where it has that."""
    found: set[Any] = {F.linear}
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        found |= {torch.ops.mkldnn._linear_pointwise, torch.ops.mkldnn._linear_pointwise.default}
    return found


_PRODUCTS: Final = _products()
