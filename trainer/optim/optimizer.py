"""One optimizer object for a run: every parameter group says whether Muon or AdamW updates it.

In: groups with the key `kind`. What a training loop sets from its schedule are each group's `lr` and, for Muon,
`momentum`. State is plain tensors per parameter (AdamW: `step`, `exp_avg`, `exp_avg_sq`; Muon: `momentum_buffer`), so
that a checkpoint is safetensors and JSON. Weight decay is decoupled; a cautious one (Chen et al. 2025) acts only on
weights that the update shrinks too, so that it never works against the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from trainer.optim.muon import muon_updates, orthogonal_directions


class MuonAdamW(torch.optim.Optimizer):
    """Groups of kind `adamw` (betas, eps) and `muon` (momentum, parts); all have lr, weight_decay and cautious."""

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        super().__init__(groups, {"weight_decay": 0.0, "cautious": False})
        for group in self.param_groups:
            group.setdefault("initial_lr", group["lr"])

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
                (self._step_muon if group["kind"] == "muon" else self._step_adamw)(group, parameters)
        return loss

    def _step_muon(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        momenta = [self._state(parameter, "momentum_buffer") for parameter in parameters]
        updates = muon_updates([p.grad for p in parameters if p.grad is not None], momenta, group["momentum"])
        directions = orthogonal_directions(updates, group["parts"])
        decay = group["lr"] * group["weight_decay"]
        if decay and group["cautious"]:
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.addcmul_(parameter, (direction * parameter > 0).to(parameter.dtype), value=-decay)
        elif decay:
            torch._foreach_mul_(parameters, 1 - decay)
        torch._foreach_add_(parameters, directions, alpha=-group["lr"])

    def _step_adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        cautious = bool(group["cautious"] and group["weight_decay"])
        before = [parameter.clone() for parameter in parameters] if cautious else []
        steps = []
        for parameter in parameters:
            state = self.state[parameter]
            if "step" not in state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            steps.append(state["step"])
        beta1, beta2 = group["betas"]
        adamw(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [self._state(parameter, "exp_avg") for parameter in parameters],
            [self._state(parameter, "exp_avg_sq") for parameter in parameters],
            [],
            steps,
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

    def _state(self, parameter: Tensor, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        return state[name]
