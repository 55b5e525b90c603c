"""Cross-entropy of next tokens without ever holding all logits: the vocabulary does not set the memory.

In: hidden states, the output projection, targets. Out: the summed loss in nats. Both gradients are worked out chunk
by chunk in the forward pass, while a chunk's logits are at hand, and kept until the backward pass scales them by
the incoming gradient. That takes the same three matrix products as the plain way (checkpointing would take four)
and leaves N x C + V x C numbers behind instead of N x V (as in Liger Kernel and Cut Cross-Entropy, without a kernel
of our own).

Shape letters: N tokens, C width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.model.linear import product, room_for_product, weight_gradient

IGNORE = -100  # a target that is not scored

# float32 numbers at once, of the logits and of what is added to the weight's gradient: a CPU's cache, a GPU's memory
CHUNK_BYTES = {"cpu": 4 << 20, "cuda": 512 << 20}
FEWEST_ROWS = 128
# at least, on a CPU, whose products of fewer rows spend their time on adding to the weight's gradient; more while the
# logits of those stay small
PRODUCT_ROWS = 512
PRODUCT_BYTES = 32 << 20
MOST_PRODUCT_ROWS = 1024
ROW_MULTIPLE = {"cuda": 128}  # tensor cores want aligned rows: GPT-2's 50,257 logits are computed as 50,304


def chunk_rows(row_size: int, device: torch.device) -> int:
    """Rows of so many numbers that are held at once: tokens' logits, or rows of the weight's gradient."""
    return max(CHUNK_BYTES.get(device.type, 64 << 20) // (4 * row_size), FEWEST_ROWS)


def product_rows(vocabulary: int, device: torch.device, dtype: torch.dtype) -> int:
    """Tokens whose logits are multiplied at once: on a CPU more than fit its cache."""
    rows = chunk_rows(vocabulary, device)
    if device.type != "cpu":
        return rows
    small = PRODUCT_BYTES // (dtype.itemsize * vocabulary)
    return max(rows, min(max(small, PRODUCT_ROWS), MOST_PRODUCT_ROWS))


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def cross_entropy_sum(
    hidden_NC: Tensor,
    weight_VC: Tensor,
    targets_N: Tensor,
    rows: int | None = None,
    multiple: int | None = None,
    cap: float | None = None,
) -> Tensor:
    """Sum over tokens of -log softmax(hidden @ weight.T)[target], float32 scalar; targets of -100 are left out.

    `cap` bounds the logits: see `soft_cap`.

    `rows` is how many tokens' logits are held at once, and `multiple` what the products' vocabulary dimension is
    padded to (none: both by the device). Products run in the autocast dtype where autocast is on, the softmax in
    float32, on a CPU over fewer rows at a time, which fit its cache.
    """
    kind = hidden_NC.device.type
    multiple = multiple or ROW_MULTIPLE.get(kind, 1)
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight_VC.dtype
    rows = rows or product_rows(weight_VC.shape[0], hidden_NC.device, dtype)
    with torch.autocast(kind, enabled=False):
        return _ChunkedCrossEntropy.apply(hidden_NC.to(dtype), weight_VC, targets_N, rows, dtype, multiple, cap)


def soft_cap(logits: Tensor, cap: float) -> Tensor:
    """cap * tanh(logits / cap): nearly the logits while they are small, never beyond the cap (Gemma 2)."""
    return (logits / cap).tanh() * cap


class _ChunkedCrossEntropy(torch.autograd.Function):
    """See the module. The gradient with respect to the loss is a scalar, so it can be multiplied in last."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NC: Tensor,
        weight_VC: Tensor,
        targets_N: Tensor,
        rows: int,
        dtype: torch.dtype,
        multiple: int,
        cap: float | None,
    ) -> Tensor:
        need_hidden, need_weight = ctx.needs_input_grad[:2]
        V = len(weight_VC)
        total = torch.zeros((), dtype=torch.float32, device=hidden_NC.device)
        grad_hidden_NC = torch.empty_like(hidden_NC) if need_hidden else None
        # the first rows' gradient is written over it
        begun = torch.empty_like if len(hidden_NC) else torch.zeros_like
        grad_weight_VC = begun(weight_VC, dtype=torch.float32) if need_weight else None
        padding = -V % multiple  # P: V and the padding
        weight_PC = F.pad(weight_VC.to(dtype), (0, 0, 0, padding)) if padding else weight_VC.to(dtype)
        weight_rows = chunk_rows(weight_VC.shape[1], weight_VC.device)
        softmax_rows = min(rows, len(hidden_NC), chunk_rows(V, weight_VC.device))
        powers = hidden_NC.new_empty(softmax_rows, V, dtype=torch.float32)
        room_nP = room_for_product(min(rows, len(hidden_NC)), weight_PC)
        for part in _parts(len(hidden_NC), rows):
            chunk_nC, targets_n1 = hidden_NC[part], targets_N[part, None]
            raw_nP = product(chunk_nC, weight_PC, room_nP)
            scale_n1 = targets_n1.new_empty(targets_n1.shape, dtype=torch.float32)
            for some in _parts(len(chunk_nC), softmax_rows):
                loss, scale_n1[some] = _softmax(
                    raw_nP[some, :V], targets_n1[some], powers, cap, gradient=need_hidden or need_weight
                )
                total += loss
            # the padding's logits are products with zeros, and so the zeros that its gradient needs
            if grad_hidden_NC is not None:
                grad_hidden_NC[part] = product(raw_nP, weight_PC.T) * scale_n1
            if grad_weight_VC is not None:
                scaled_nC = (chunk_nC * scale_n1).to(dtype)
                for some in _parts(V, weight_rows):  # a product of all rows would be as large as the sum
                    gradient_vC, sum_vC = weight_gradient(raw_nP[:, some], scaled_nC), grad_weight_VC[some]
                    sum_vC.copy_(gradient_vC) if part.start == 0 else sum_vC.add_(gradient_vC)
        ctx.save_for_backward(grad_hidden_NC, grad_weight_VC)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        grad_hidden_NC, grad_weight_VC = ctx.saved_tensors
        # in place, or there are two of them; torch sees it and refuses a second backward pass through the same graph
        hidden = None if grad_hidden_NC is None else grad_hidden_NC.mul_(grad)
        weight = None if grad_weight_VC is None else grad_weight_VC.mul_(grad)
        return hidden, weight, *(None,) * 5


def _softmax(
    raw_nV: Tensor, targets_n1: Tensor, powers: Tensor, cap: float | None, *, gradient: bool
) -> tuple[Tensor, Tensor]:
    """The tokens' summed loss, and what their gradient is to be multiplied by, [n, 1]: where it is wanted, it is
    written over their logits without that scale. `powers` [at least n, V], float32, is room to work in."""
    scored_n1 = targets_n1 != IGNORE
    safe_n1 = targets_n1.clamp_min(0)
    powers_nV = powers[: len(raw_nV)].copy_(raw_nV if cap is None else soft_cap(raw_nV.float(), cap))
    largest_n1 = powers_nV.amax(-1, keepdim=True)
    target_n1 = powers_nV.gather(1, safe_n1)
    slope_nV = 1 - (powers_nV / cap).square() if gradient and cap is not None else None
    powers_nV.sub_(largest_n1).exp_()
    sum_n1 = powers_nV.sum(-1, keepdim=True)
    loss = ((largest_n1 + sum_n1.log() - target_n1) * scored_n1).sum()
    scale_n1 = scored_n1 / sum_n1
    if not gradient:
        return loss, scale_n1
    # softmax less one at the target, times the sum: that is divided out of the few numbers of a token's hidden state
    # and not of its V probabilities
    powers_nV.scatter_add_(1, safe_n1, -sum_n1)
    if slope_nV is not None:
        powers_nV.mul_(slope_nV)
    raw_nV.copy_(powers_nV)
    return loss, scale_n1
