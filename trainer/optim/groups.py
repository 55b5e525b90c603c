"""Which optimizer, learning rate and weight decay each parameter of a GPT gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from trainer.config import TrainingConfig
from trainer.model.attention import Attention
from trainer.model.gpt import GPT
from trainer.model.layers import MLP
from trainer.model.moe import Experts
from trainer.optim.optimizer import MuonAdamW


def build_optimizer(model: GPT, training: TrainingConfig) -> MuonAdamW:
    """The optimizer of `training` over all parameters of `model`, each in exactly one group.

    `adamw`: weight decay on everything with two or more dimensions, embeddings included, as GPT-2's recipe has it.
    `muon`: Muon and decay on the blocks' matrices; AdamW without decay on embeddings, head, routers, norms, biases.
    """
    if training.optimizer == "adamw":
        matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
        vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
        groups = [_adamw(matrices, training, training.learning_rate, training.weight_decay)]
        groups.append(_adamw(vectors, training, training.learning_rate, 0.0))
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
            "lr": training.learning_rate,
            "momentum": training.muon_momentum,
            "weight_decay": training.weight_decay,
            "cautious": training.cautious_weight_decay,
        }
        for (_, parts), parameters in by_shape.items()
    ]
    taken = {id(parameter) for parameter, _ in stacked}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in taken]
    adam_rate = training.learning_rate if training.adam_learning_rate is None else training.adam_learning_rate
    groups.append(_adamw(rest, training, adam_rate, 0.0))
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


def _adamw(parameters: Sequence[Tensor], training: TrainingConfig, rate: float, decay: float) -> dict[str, Any]:
    return {
        "kind": "adamw",
        "params": list(parameters),
        "lr": rate,
        "betas": tuple(training.betas),
        "eps": training.eps,
        "weight_decay": decay,
        "cautious": training.cautious_weight_decay,
    }
