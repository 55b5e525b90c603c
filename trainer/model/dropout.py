"""Dropout whose masks depend on the sequence alone, not on the batch, rank or micro-batch it is computed in.

One generator a sequence, drawn from at each site in the order of the forward pass: training on another number of ranks
drops the same activations. A compiler cannot follow generators: for it their states are a tensor that two operators of
our own make and move on, so that the model stays one graph; the masks are the same bits.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

STATE_BYTES: Final = {"cpu": torch.Generator().get_state().numel(), "cuda": 16}
"""Of a generator's state, by the device it draws on; the state itself is kept by the CPU."""


class SequenceDropout:
    """The masks of one forward pass. `seeds_B` (int64, not negative) are on the CPU: reading them off a GPU waits."""

    def __init__(self, probability: float, seeds_B: Tensor, device: torch.device) -> None:
        self.keep = 1 - probability
        self._generators: list[torch.Generator] = []
        self._states: Tensor | None = None
        if torch.compiler.is_compiling() and device.type in STATE_BYTES:
            self._states = seeded_states(seeds_B, device.type, STATE_BYTES[device.type])
        else:
            self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds_B.tolist()]

    def __call__(self, x: Tensor) -> Tensor:
        """Zero elements of x (B, ...) with the probability and scale the others by 1 / (1 - probability)."""
        if self._states is not None:
            return x * drawn_masks(x.detach(), self._states, self.keep)
        return x * _masks(x, self._generators, self.keep)


def _masks(like: Tensor, generators: list[torch.Generator], keep: float) -> Tensor:
    mask = torch.empty_like(like)
    for row, generator in zip(mask, generators, strict=True):
        row.bernoulli_(keep, generator=generator)
    return mask.div_(keep)


@torch.library.custom_op("squeeze::seeded_states", mutates_args=())
def seeded_states(seeds_B: Tensor, device: str, size: int) -> Tensor:
    """The states (B, size), uint8, of one generator a seed."""
    return torch.stack([torch.Generator(device).manual_seed(seed).get_state() for seed in seeds_B.tolist()])


@seeded_states.register_fake
def _(seeds_B: Tensor, device: str, size: int) -> Tensor:
    return seeds_B.new_empty(seeds_B.shape[0], size, dtype=torch.uint8, device="cpu")


@torch.library.custom_op("squeeze::drawn_masks", mutates_args=("states_BS",))
def drawn_masks(like: Tensor, states_BS: Tensor, keep: float) -> Tensor:
    """Masks of `like`'s shape, drawn row by row; the states go on to the next site."""
    generators = [torch.Generator(like.device) for _ in range(len(states_BS))]
    for generator, state_S in zip(generators, states_BS, strict=True):
        generator.set_state(state_S.clone())
    masks = _masks(like, generators, keep)
    for generator, state_S in zip(generators, states_BS, strict=True):
        state_S.copy_(generator.get_state())
    return masks


@drawn_masks.register_fake
def _(like: Tensor, states_BS: Tensor, keep: float) -> Tensor:
    return torch.empty_like(like)
