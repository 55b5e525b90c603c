"""An average of the weights, for evaluation: the noise of the last steps averages out.

In: a model, after each optimizer step. Out: averaged weights, by the model's own names. The average starts plain
(over the steps so far) and becomes exponential once there are `horizon` of them, so it needs no bias correction. With a
`share` it starts only there, at the run's end: the weights of the way down alone, as in LAWA (Kaddour 2022) and other
averages of the last checkpoints, of which every step is one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Averages of `model`'s parameters over about `horizon` steps of the run's last `share`, float32 copies on the
    parameters' device. No horizon: the plain mean."""

    def __init__(self, model: nn.Module, horizon: int | None, share: float | None = None) -> None:
        self._horizon = math.inf if horizon is None else horizon
        self._start = 0.0 if share is None else 1 - share
        self.steps = 0
        """That the average is over so far; 0 before it starts."""
        self._model = model
        self._averages = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def update(self, gone: float = 1.0) -> None:
        """Take the model's weights in; call after each optimizer step, `gone` of the run with it."""
        if not self.steps and gone <= self._start:
            return
        self.steps += 1
        weights = [parameter.detach() for parameter in self._model.parameters()]
        torch._foreach_lerp_(list(self._averages.values()), weights, 1 / min(self.steps, self._horizon))

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
