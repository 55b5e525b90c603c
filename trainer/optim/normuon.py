"""NorMuon (Li et al. 2025, arXiv:2510.05491): Muon whose update has rows of one size over time.

Orthogonalised updates have singular values of about one, but rows of very different length, so some neurons move far
more than others. Each row is divided by the root of a running mean of its mean square, and the matrix then brought back
to the norm that it had, as modded-nanogpt does it, so that Muon's learning rates hold (the paper scales to an RMS of
0.2). No bias correction: it is one factor for all rows, which the last step takes out again.

The state of a matrix: `momentum_buffer`, and `row_second_moment`, a number a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from torch import Tensor

from trainer.config import OptimizerConfig
from trainer.model.gpt import GPT
from trainer.optim.kind import Group, State
from trainer.optim.muon import Muon, stacked_matrices

EPS: Final = 1e-10


class NorMuon(Muon):
    """Groups have `row_beta` beside Muon's."""

    name: ClassVar[str] = "normuon"

    def groups(self, model: GPT, settings: OptimizerConfig) -> list[Group]:
        groups = super().groups(model, settings)
        return [{**group, "row_beta": settings.row_beta} if group["kind"] == self.name else group for group in groups]

    def directions(
        self, group: Group, parameters: Sequence[Tensor], updates: Sequence[Tensor], state: State
    ) -> list[Tensor]:
        directions = super().directions(group, parameters, updates, state)
        means = [row_second_moment(state, parameter) for parameter in parameters]
        for rows in dict.fromkeys(group["parts"]):
            matrices = torch.stack(stacked_matrices(directions, group["parts"], rows))
            moments = stacked_matrices(means, group["parts"], rows)
            kept, even = even_rows(matrices, torch.stack(moments), group["row_beta"])
            for targets, values in ((moments, kept), (stacked_matrices(directions, group["parts"], rows), even)):
                torch._foreach_copy_(targets, list(values))
        return directions


def even_rows(directions_Mrc: Tensor, moments_Mr1: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Rows over the root of their running mean square, at the matrix's norm: (the new means, the directions)."""
    moments_Mr1 = moments_Mr1.lerp(directions_Mrc.square().mean(-1, keepdim=True), 1 - beta)
    even_Mrc = directions_Mrc / (moments_Mr1.sqrt() + EPS)
    norms_M11, reached_M11 = (x.norm(dim=(-2, -1), keepdim=True) for x in (directions_Mrc, even_Mrc))
    return moments_Mr1, even_Mrc * (norms_M11 / reached_M11.clamp(min=EPS))


def row_second_moment(state: State, parameter: Tensor) -> Tensor:
    """The running mean squares of a parameter's rows (..., rows, 1), zero at first."""
    if "row_second_moment" not in state[parameter]:
        state[parameter]["row_second_moment"] = parameter.new_zeros((*parameter.shape[:-1], 1))
    moment: Tensor = state[parameter]["row_second_moment"]
    return moment
