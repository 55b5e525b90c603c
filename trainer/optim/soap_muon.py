"""SOAP-Muon: momentum scaled in the eigenbasis of its gradients' covariances, then orthogonalised; with a row floor.

The form is that of modded-nanogpt's track 3, pull request 278, whose README has these formulas, applied to all of the
blocks' matrices as 321 does; SOAP itself is Vyas et al. 2024 (arXiv:2409.11321). For a gradient G and Muon's Nesterov
update U of a matrix:

    L = mean(G G^T), R = mean(G^T G)    running, at `soap_beta`       Q_L, Q_R: their eigenvectors
    U' = Q_L^T U Q_R                    V = mean(U'^2)                running, at `soap_beta`
    U'' = Q_L (U' / sqrt(V)) Q_R^T      brought back to the norm of U, then orthogonalised and scaled as Muon's

The row floor is 328's: a row of the direction that is shorter than `row_floor` times the row of weights it changes is
lengthened to that, so that no neuron stands still because it has grown.

Where the published form says nothing, or only in scripts whose other parts are not taken over (Contra-Muon, the radius
pin, look-ahead): eigenvectors are taken anew every `soap_every` steps, by `eigh`, and V is kept in the new basis as it
is; the first step takes them and is Muon's otherwise, since beside one gradient's own directions its basis has rounding
alone (all of this is SOAP's way); stacked matrices have covariances of their own; there is no row normalisation (300
took it out of this stack) and weight decay is Muon's; the floor looks at weights before they decay, and lengthens a row
of zeros by nothing.

Ranks share the eigenvectors out as they share Muon's iteration. The state of a matrix: `momentum_buffer`, like it
`second_moment`, `step`, and for each matrix stacked in it, numbered from 0, `row_covariance_0`, `row_basis_0`,
`column_covariance_0` and `column_basis_0`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from torch import Tensor, nn

from trainer.config import OptimizerConfig
from trainer.model.gpt import GPT
from trainer.optim.kind import Group, State, buffers, gradients
from trainer.optim.muon import Muon, block_matrices, unstacked
from trainer.optim.sharing import shared_out

EPS: Final = 1e-8


class SoapMuon(Muon):
    """Groups have `soap_beta`, `soap_every` and `row_floor` beside Muon's."""

    name: ClassVar[str] = "soap_muon"

    def groups(self, model: GPT, settings: OptimizerConfig) -> list[Group]:
        own = {name: getattr(settings, name) for name in ("soap_beta", "soap_every", "row_floor")}
        return [{**group, **own} if group["kind"] == self.name else group for group in super().groups(model, settings)]

    def directions(
        self, group: Group, parameters: Sequence[Tensor], updates: Sequence[Tensor], state: State
    ) -> list[Tensor]:
        parts, beta = group["parts"], group["soap_beta"]
        moments, scaled = buffers(state, parameters, "second_moment"), [torch.empty_like(update) for update in updates]
        before = _count(state, parameters)
        fresh = before % group["soap_every"] == 0
        tensors = (gradients(parameters), updates, moments, scaled)
        for number, views in enumerate(zip(*(_by_part(some, parts) for some in tensors), strict=True)):
            grads = views[0]
            rows = _bases(state, parameters, f"row_%s_{number}", grads, beta, fresh=fresh)
            columns = _bases(state, parameters, f"column_%s_{number}", [grad.mT for grad in grads], beta, fresh=fresh)
            for update, moment, target, left, right in zip(*views[1:], rows, columns, strict=True):
                target.copy_(in_basis(update, moment, left, right, beta) if before else update)
        directions = super().directions(group, parameters, scaled, state)
        return [floored(one, weights, group["row_floor"]) for one, weights in zip(directions, parameters, strict=True)]


def in_basis(update: Tensor, moment: Tensor, left: Tensor, right: Tensor, beta: float) -> Tensor:
    """An update (..., r, c) scaled in the basis of `left` (..., r, r) and `right` (..., c, c), at the norm it had.

    `moment`, the running mean of its squares there, is moved on in place.
    """
    turned = left.mT @ update @ right
    moment.lerp_(turned.square(), 1 - beta)
    scaled = left @ (turned / (moment.sqrt() + EPS)) @ right.mT
    norms = update.norm(dim=(-2, -1), keepdim=True), scaled.norm(dim=(-2, -1), keepdim=True)
    return scaled * (norms[0] / norms[1].clamp(min=EPS))


def floored(direction: Tensor, weights: Tensor, floor: float) -> Tensor:
    """The direction with no row shorter than `floor` times the row of weights beside it."""
    lengths, least = direction.norm(dim=-1, keepdim=True), floor * weights.norm(dim=-1, keepdim=True)
    return direction * (least / lengths.clamp(min=EPS)).clamp(min=1.0)


def basis_numbers(model: nn.Module) -> int:
    """Numbers that the state of `model`'s matrices has beside two a weight: two squares for each side of each."""
    sizes = [(rows, p.shape[-1], p.shape[:-2].numel()) for p, parts in block_matrices(model) for rows in parts]
    return sum(2 * count * (rows**2 + columns**2) for rows, columns, count in sizes)


def _count(state: State, parameters: Sequence[Tensor]) -> int:
    """Steps before this one, which is counted, on the CPU: a GPU would have to be waited for to read them."""
    steps = [state[parameter].setdefault("step", torch.zeros((), device="cpu")) for parameter in parameters]
    before = int(steps[0])
    torch._foreach_add_(steps, 1.0)
    return before


def _by_part(tensors: Sequence[Tensor], parts: Sequence[int]) -> list[list[Tensor]]:
    """For each matrix that is stacked in all of `tensors`, the views of it."""
    return [list(views) for views in zip(*(tensor.split(list(parts), dim=-2) for tensor in tensors), strict=True)]


def _bases(
    state: State, parameters: Sequence[Tensor], name: str, sides: Sequence[Tensor], beta: float, *, fresh: bool
) -> list[Tensor]:
    """The eigenvectors of the running means of A A^T, for each parameter's A (..., n, k) in `sides`: (..., n, n)."""

    def kept(what: str) -> list[Tensor]:
        squares = [(*side.shape[:-1], side.shape[-2]) for side in sides]
        pairs = zip(parameters, squares, strict=True)
        return [state[parameter].setdefault(name % what, parameter.new_zeros(shape)) for parameter, shape in pairs]

    covariances, bases = kept("covariance"), kept("basis")
    torch._foreach_lerp_(covariances, [side @ side.mT for side in sides], 1 - beta)
    if fresh:
        found = shared_out(unstacked(covariances), lambda matrices: torch.linalg.eigh(matrices).eigenvectors)
        torch._foreach_copy_(unstacked(bases), list(found))
    return bases
