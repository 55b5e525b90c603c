"""An exponential moving average of the weights, for evaluation: the noise of the last steps averages out.

In: a model, after each optimizer step. Out: averaged weights, by the model's own names. The average starts plain
(over the steps so far) and becomes exponential once there are `horizon` of them, so it needs no bias correction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Averages of `model`'s parameters over about `horizon` steps, float32 copies on the parameters' device."""

    def __init__(self, model: nn.Module, horizon: int) -> None:
        self.horizon = horizon
        self.steps = 0
        self._model = model
        self._averages = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's weights in; call after each optimizer step."""
        self.steps += 1
        weights = [parameter.detach() for parameter in self._model.parameters()]
        torch._foreach_lerp_(list(self._averages.values()), weights, 1 / min(self.steps, self.horizon))

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights, by name. `steps` has to be kept beside them."""
        return dict(self._averages)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The model holds the averages inside the block, its own weights again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._model.named_parameters():
            average = self._averages[name]
            held = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(held)
