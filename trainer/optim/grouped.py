"""The optimizer of a run: one object over all groups, each updated by the kind it names; and the table of kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import torch

from trainer.config import OptimizerConfig
from trainer.model.gpt import GPT
from trainer.optim.adamw import AdamW
from trainer.optim.kind import Group, OptimizerKind
from trainer.optim.muon import Muon
from trainer.optim.normuon import NorMuon
from trainer.optim.soap_muon import SoapMuon

OPTIMIZERS: Final[Mapping[str, OptimizerKind]] = {
    "adamw": AdamW(),
    "muon": Muon(),
    "normuon": NorMuon(),
    "soap_muon": SoapMuon(),
}
"""By `training.optimizer.kind`."""


class GroupedOptimizer(torch.optim.Optimizer):
    """Groups as `OptimizerKind.groups` makes them. `initial_lr` of each is its peak."""

    def __init__(self, groups: Iterable[Group]) -> None:
        super().__init__(groups, {"weight_decay": 0.0, "cautious": False})
        for group in self.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group.setdefault("initial_weight_decay", group["weight_decay"])

    def schedule(self, step: float, factor: float, settings: OptimizerConfig, decay: float = 1.0) -> None:
        """Set every group up for `step` (from 0), where learning rates are `factor` times their peaks, and weight decay
        is `decay` times the settings'."""
        for group in self.param_groups:
            group["lr"] = group["initial_lr"] * factor
            group["weight_decay"] = group["initial_weight_decay"] * decay
            OPTIMIZERS[group["kind"]].schedule(group, step, settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                OPTIMIZERS[group["kind"]].update(group, parameters, self.state)
        return loss

    @torch.no_grad()
    def rehearse(self) -> None:
        """Take a step that changes no weight, so that all the memory of one is there from now on, or is missed now.

        Leaves the state that the first step would begin with, zero, and no gradients. Ranks rehearse together.
        """
        rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] = 0.0
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        try:
            self.step()
        finally:
            self.zero_grad(set_to_none=True)
            for group, rate in zip(self.param_groups, rates, strict=True):
                group["lr"] = rate
        for entries in self.state.values():
            for tensor in entries.values():
                tensor.zero_()


def build_optimizer(model: GPT, settings: OptimizerConfig) -> GroupedOptimizer:
    """The optimizer of `settings` over all parameters of `model`."""
    return GroupedOptimizer(OPTIMIZERS[settings.kind].groups(model, settings))
