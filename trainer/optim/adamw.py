"""AdamW (Loshchilov & Hutter 2017), as torch's fused kernel computes it; for every parameter, or for what Muon leaves.

Weight decay is on everything with two or more dimensions, embeddings included, as GPT-2's recipe has it. Its state of a
parameter: `step`, `exp_avg`, `exp_avg_sq`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from trainer.config import OptimizerConfig
from trainer.model.gpt import GPT
from trainer.optim.kind import Group, OptimizerKind, State, buffers, gradients
from trainer.optim.rates import by_rate


class AdamW(OptimizerKind):
    """Groups have `betas` and `eps`."""

    def groups(self, model: GPT, settings: OptimizerConfig) -> list[Group]:
        matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
        vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
        return [
            adamw_group(some, settings, rate, decay)
            for parameters, decay in ((matrices, settings.weight_decay), (vectors, 0.0))
            for rate, some in by_rate(model, parameters, settings, settings.learning_rate)
        ]

    def update(self, group: Group, parameters: list[Tensor], state: State) -> None:
        cautious = bool(group["cautious"] and group["weight_decay"])
        before = [parameter.clone() for parameter in parameters] if cautious else []
        for parameter in parameters:
            if "step" not in state[parameter]:
                state[parameter]["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        beta1, beta2 = group["betas"]
        adamw(
            parameters,
            gradients(parameters),
            buffers(state, parameters, "exp_avg"),
            buffers(state, parameters, "exp_avg_sq"),
            [],
            [state[parameter]["step"] for parameter in parameters],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=0.0 if cautious else group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
        for parameter, old in zip(parameters, before, strict=False):
            shrinks = ((old - parameter) * old > 0).to(old.dtype)
            parameter.addcmul_(old, shrinks, value=-group["lr"] * group["weight_decay"])


def adamw_group(parameters: Sequence[Tensor], settings: OptimizerConfig, rate: float, decay: float) -> Group:
    """A group that AdamW updates, at a peak learning rate and with a weight decay of its own."""
    return {
        "kind": "adamw",
        "params": list(parameters),
        "lr": rate,
        "betas": tuple(settings.betas),
        "eps": settings.eps,
        "weight_decay": decay,
        "cautious": settings.cautious_weight_decay,
    }
