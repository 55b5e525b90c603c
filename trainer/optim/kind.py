"""What one optimizer is: which parameters it takes with which settings, and how it updates a group of them.

In: a model and `training.optimizer`. Out: groups as torch has them, whose key `kind` says who updates them. Its state
is plain tensors per parameter, zero at first, under names of its own, so that a checkpoint is safetensors and JSON, and
every figure that changes over a run is a function of the step, so that a resumed run needs no state for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import MutableMapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from trainer.config import OptimizerConfig
from trainer.model.gpt import GPT

Group: TypeAlias = dict[str, Any]
"""`kind`, `params`, `lr`, `weight_decay`, `cautious`, and what the optimizer of that kind needs beside."""
State: TypeAlias = MutableMapping[Tensor, Any]
"""By parameter, its tensors by name; a parameter's is made where it is first asked for."""


class OptimizerKind(ABC):
    """One value of `training.optimizer.kind`. Weight decay is decoupled; a cautious one (Chen et al. 2025) acts only on
    weights that the update shrinks too, so that it never works against the gradient."""

    @abstractmethod
    def groups(self, model: GPT, settings: OptimizerConfig) -> list[Group]:
        """All parameters of `model`, each in exactly one group; a group may be another kind's."""

    @abstractmethod
    def update(self, group: Group, parameters: list[Tensor], state: State) -> None:
        """Update those of a group's parameters that have a gradient, in place."""

    def schedule(self, group: Group, step: float, settings: OptimizerConfig) -> None:
        """Set what of a group changes with the step (from 0) beside the learning rate; nothing unless overridden."""
        return


def gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of parameters that all have one."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def buffers(state: State, parameters: Sequence[Tensor], name: str) -> list[Tensor]:
    """The tensors kept under `name`, one like each parameter, zero at first."""
    for parameter in parameters:
        if name not in state[parameter]:
            state[parameter][name] = torch.zeros_like(parameter)
    return [state[parameter][name] for parameter in parameters]
