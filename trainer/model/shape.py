"""A model that has shapes and no numbers: what parameters, FLOPs and memory are counted on.

Torch fills a tensor of the meta device at random by a decomposition, which imports its compiler: seconds, for numbers
that nothing holds. Here nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

from trainer.model.config import ModelConfig
from trainer.model.gpt import GPT

_INITIALISERS: Final = torch.nn.init.__name__
_DRAWS: Final = frozenset({"normal_", "uniform_", "random_", "bernoulli_", "exponential_", "log_normal_"})


def shape_of(config: ModelConfig) -> GPT:
    """The model with its parameters on the meta device, as they were allocated."""
    with torch.device("meta"), _Unfilled():
        return GPT(config)


class _Unfilled(TorchFunctionMode):
    """Leaves out what would fill a tensor that was there before."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", None) == _INITIALISERS:
            return given["tensor"] if "tensor" in given else args[0]
        if getattr(func, "__name__", None) in _DRAWS:
            return args[0]
        return func(*args, **given)
