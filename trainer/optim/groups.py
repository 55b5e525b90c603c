"""Which optimizer, learning rate and weight decay each parameter of a GPT gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from trainer.config import OptimizerConfig
from trainer.model.attention import Attention
from trainer.model.gpt import GPT
from trainer.model.layers import MLP
from trainer.model.moe import Experts
from trainer.optim.optimizer import MuonAdamW


def build_optimizer(model: GPT, settings: OptimizerConfig) -> MuonAdamW:
    """The optimizer of `settings` over all parameters of `model`, each in exactly one group.

    `adamw`: weight decay on everything with two or more dimensions, embeddings included, as GPT-2's recipe has it.
    `muon`: Muon and decay on the blocks' matrices; AdamW without decay on embeddings, head, routers, norms, biases.
    """
    if settings.kind == "adamw":
        matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
        vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
        groups = [_adamw(matrices, settings, settings.learning_rate, settings.weight_decay)]
        groups.append(_adamw(vectors, settings, settings.learning_rate, 0.0))
        return MuonAdamW(group for group in groups if group["params"])

    stacked = block_matrices(model)
    by_shape: dict[tuple[Any, ...], list[Tensor]] = {}
    for parameter, parts in stacked:
        by_shape.setdefault((tuple(parameter.shape), parts), []).append(parameter)
    groups = [
        {
            "kind": "muon",
            "params": parameters,
            "parts": list(parts),
            "lr": settings.learning_rate,
            "momentum": settings.muon_momentum,
            "weight_decay": settings.weight_decay,
            "cautious": settings.cautious_weight_decay,
        }
        for (_, parts), parameters in by_shape.items()
    ]
    taken = {id(parameter) for parameter, _ in stacked}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    adam_rate = settings.learning_rate if settings.adam_learning_rate is None else settings.adam_learning_rate
    groups.append(_adamw(rest, settings, adam_rate, 0.0))
    return MuonAdamW(groups)


def block_matrices(model: nn.Module) -> list[tuple[Tensor, tuple[int, ...]]]:
    """Every matrix of the blocks with the rows of the matrices stacked in it (q | k | v | gate, gate | value)."""
    found: list[tuple[Tensor, tuple[int, ...]]] = []
    for module in model.modules():
        if isinstance(module, Attention | MLP):
            found.append((module.input.weight, module.input_parts))
            found.append((module.output.weight, (module.output.out_features,)))
        elif isinstance(module, Experts):
            found.append((module.input, module.input_parts))
            found.append((module.output, (module.output.shape[-2],)))
    return found


def _adamw(parameters: Sequence[Tensor], settings: OptimizerConfig, rate: float, decay: float) -> dict[str, Any]:
    return {
        "kind": "adamw",
        "params": list(parameters),
        "lr": rate,
        "betas": tuple(settings.betas),
        "eps": settings.eps,
        "weight_decay": decay,
        "cautious": settings.cautious_weight_decay,
    }
