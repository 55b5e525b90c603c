"""A mixture of experts in place of the MLP: dropless, every token reaches all of its `top_k` experts.

In: hidden states. Out: the same shape. Tokens are sorted by expert and all experts run as one grouped matrix product
(`torch.nn.functional.grouped_mm`), whose groups may have any size, so nothing is padded and nothing dropped. The
weights of all experts lie in one tensor, (experts, out, in).

Two ways to keep the load even. The auxiliary loss is taken per sequence (DeepSeek-V3, eq. 17-20), so that it adds up
over micro-batches and ranks to the same number however a batch is split. The bias (Wang et al. 2024) acts on the
choice of experts alone and moves once an optimizer step, by the whole batch's counts: `balance_experts`.

Shape letters: B batch, T time, C width, N tokens, E experts, K experts a token, F expert width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.model.config import ModelConfig
from trainer.model.frame import Frame
from trainer.model.layers import MLP, activate, input_parts


@dataclass(frozen=True, eq=False)
class ExpertLoad:
    """How the experts were used since the last step; no assignment is ever dropped, since groups may have any size."""

    counts: Tensor
    """(L, E): assignments that each expert got, a row a layer, int64, on the model's device: looking waits for it."""

    @cached_property
    def shares(self) -> tuple[tuple[float, ...], ...]:
        """Share of the assignments each expert got, a row a layer; a row sums to 1."""
        counts_LE = self.counts.cpu()  # not every device has float64
        shares_LE = counts_LE.double() / counts_LE.sum(1, keepdim=True).clamp_min(1)
        return tuple(tuple(row) for row in shares_LE.tolist())

    @property
    def max_over_mean(self) -> float:
        """The busiest expert's share over the mean share, in the layer where that is largest."""
        return max(max(row) * len(row) for row in self.shares)


class Experts(nn.Module):
    """The experts' weights and their grouped products."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        moe = config.experts
        self.activation = moe.activation
        self.input_parts = input_parts(moe.activation, config.expert_width)
        self.input = nn.Parameter(torch.empty(moe.experts, sum(self.input_parts), config.width))
        self.output = nn.Parameter(torch.empty(moe.experts, config.width, config.expert_width))

    def forward(self, x_NC: Tensor, ends_E: Tensor) -> Tensor:
        """Rows sorted by expert, expert e's up to `ends_E[e]` (int32) -> the experts' outputs, in the same order."""
        kind = x_NC.device.type  # autocast does not know grouped_mm: cast by hand
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.input.dtype
        up, down = self.input.to(dtype).transpose(1, 2), self.output.to(dtype).transpose(1, 2)
        # a compiler's graph would end where sizes are read
        if torch.compiler.is_compiling() or has_grouped_kernel(x_NC.device, dtype):
            hidden = activate(F.grouped_mm(x_NC.to(dtype), up, offs=ends_E), self.activation).to(dtype)
            return F.grouped_mm(hidden, down, offs=ends_E)
        sizes = ends_E.diff(prepend=ends_E.new_zeros(1)).tolist()  # the one wait for the device
        hidden = activate(one_by_one(x_NC.to(dtype), up, sizes), self.activation).to(dtype)
        return one_by_one(hidden, down, sizes)


GROUPED_ON: Final = (9, 10)
"""Major compute capabilities whose cards torch 2.13 has a kernel of grouped products for, in bfloat16 alone."""


def has_grouped_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch computes grouped products there in one kernel. Elsewhere on a GPU each one waits for the device, to
    read where the groups end: in the forward pass and twice in the backward pass."""
    if device.type != "cuda":
        return True
    return dtype == torch.bfloat16 and torch.cuda.get_device_capability(device)[0] in GROUPED_ON


def one_by_one(rows_NK: Tensor, weights_EKM: Tensor, sizes: list[int]) -> Tensor:
    """`F.grouped_mm` as a product for each expert, whose numbers of rows are known: (N, M)."""
    parts = zip(rows_NK.split(sizes), weights_EKM.unbind(0), strict=True)
    return torch.cat([rows_nK @ weight_KM for rows_nK, weight_KM in parts])


class MoE(nn.Module):
    """Router, experts and, where asked for, the shared expert behind a sigmoid gate (Qwen2-MoE, DeepSeekMoE)."""

    expert_bias: Tensor
    counts: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.settings = config.experts
        self.router = nn.Linear(config.width, self.settings.experts, bias=False)
        self.experts = Experts(config)
        self.shared = MLP(config, config.expert_width, bias=False) if self.settings.shared_expert else None
        self.shared_gate = nn.Linear(config.width, 1, bias=False) if self.settings.shared_expert else None
        self.register_buffer("expert_bias", torch.zeros(self.settings.experts))
        self.register_buffer("counts", torch.zeros(self.settings.experts, dtype=torch.int64), persistent=False)

    def forward(self, x_BTC: Tensor, frame: Frame, run: int) -> Tensor:
        B, T, C = x_BTC.shape
        E, K = self.settings.experts, self.settings.top_k
        x_NC = x_BTC.reshape(-1, C)
        with torch.autocast(x_NC.device.type, enabled=False):  # the choice is discrete: float32
            logits_NE = F.linear(x_NC.float(), self.router.weight.float())
            probs_NE = logits_NE.softmax(-1)
            chosen_NK = (probs_NE + self.expert_bias).topk(K, dim=-1).indices
            weight_NK = probs_NE.gather(1, chosen_NK)
            if self.settings.normalize_top_k:
                weight_NK = weight_NK * (K / weight_NK.sum(-1, keepdim=True))
        if self.training and torch.is_grad_enabled():
            self._account(logits_NE.view(B, T, E), probs_NE.view(B, T, E), chosen_NK.view(B, T * K), frame)

        order_NK = chosen_NK.flatten().argsort(stable=True)
        picks_E = (chosen_NK.view(-1, 1) == torch.arange(E, device=x_NC.device)).sum(0)  # bincount breaks graphs
        ends_E = picks_E.cumsum(0).to(torch.int32)
        rows_NKC = _Permute.apply(x_NC[:, None].expand(-1, K, -1).reshape(-1, C), order_NK)
        outputs_NKC = self.experts(rows_NKC, ends_E)
        outputs_NKC = _Permute.apply(outputs_NKC, order_NK.argsort()).view(-1, K, C)
        y_NC = (outputs_NKC * weight_NK[..., None].to(outputs_NKC.dtype)).sum(1)
        y_BTC = y_NC.view(B, T, C)
        if self.shared is not None and self.shared_gate is not None:
            y_BTC = y_BTC + self.shared(x_BTC, frame, run) * self.shared_gate(x_BTC).sigmoid()
        return y_BTC

    def _account(self, logits_BTE: Tensor, probs_BTE: Tensor, chosen_BTK: Tensor, frame: Frame) -> None:
        """Count the choices and add the balance and z losses, in nats summed over tokens."""
        B, T, E = probs_BTE.shape
        picks_BE = torch.zeros(B, E, device=probs_BTE.device).scatter_add_(
            1, chosen_BTK, torch.ones_like(chosen_BTK, dtype=torch.float32)
        )
        self.counts += picks_BE.sum(0).long()
        if self.settings.balance == "aux" and self.settings.aux_weight:
            share_BE = picks_BE / chosen_BTK.shape[1]
            balance_B = E * (share_BE * probs_BTE.mean(1)).sum(-1)  # 1 when even
            frame.auxiliary.append(self.settings.aux_weight * T * balance_B.sum())
        if self.settings.z_weight:
            frame.auxiliary.append(self.settings.z_weight * logits_BTE.logsumexp(-1).square().sum())


def balance_experts(layers: list[MoE], all_reduce: Callable[[Tensor], Any] | None = None) -> ExpertLoad:
    """Once an optimizer step: report the load since the last call, move the biases of `balance: bias`, start anew.

    `all_reduce` sums an int64 tensor over ranks in place; the counts are whole numbers, so all ranks move alike.
    """
    counts_LE = torch.stack([layer.counts for layer in layers])
    if all_reduce is not None:
        all_reduce(counts_LE)
    for layer, counts_E in zip(layers, counts_LE, strict=True):
        if layer.settings.balance == "bias":
            error_E = counts_E.float().mean() - counts_E.float()
            layer.expert_bias += layer.settings.bias_rate * error_E.sign()
        layer.counts.zero_()
    return ExpertLoad(counts_LE)


class _Permute(torch.autograd.Function):
    """Rows of x in another order. The gradient goes back by the inverse permutation: a gather, where indexing's own
    backward would scatter with atomics, slower and on a GPU in no fixed order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return grads[0].index_select(0, order.argsort()), None
