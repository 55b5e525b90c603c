"""Muon: momentum, made orthogonal (Jordan et al. 2024), for the blocks' matrices in batches; AdamW for everything else.

Torch's own Muon takes one 2-D matrix at a time and scales its update by sqrt(rows / columns). A projection that stacks
q, k and v would be orthogonalised as one matrix and scaled by sqrt(3), with a gate by 2, so that switching the gate
on would also change the learning rate. Here a parameter is cut into the matrices it stacks first, and matrices of one
shape, experts included, go through the iteration as one batch. Ranks share the batch out: each makes a part of the
matrices orthogonal and is told the others', in bfloat16, which the iteration ends in.

Weight decay is on the blocks' matrices; embeddings, head, routers, norms and biases have none. The state of a matrix:
`momentum_buffer`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, NamedTuple

import torch
from torch import Tensor, nn

from trainer.config import OptimizerConfig
from trainer.model.ahead import Ahead
from trainer.model.attention import Attention
from trainer.model.gpt import GPT
from trainer.model.layers import MLP
from trainer.model.moe import Experts
from trainer.model.values import ValueEmbedding
from trainer.optim.adamw import adamw_group
from trainer.optim.kind import Group, OptimizerKind, State, buffers, gradients
from trainer.optim.polar_express import POLYNOMIALS, SAFETY
from trainer.optim.rates import by_rate
from trainer.optim.sharing import shared_out

EPS = 1e-7
MOMENTUM_START = 0.85
MOMENTUM_STEPS = 300  # modded-nanogpt


class Iteration(NamedTuple):
    """Odd quintics a*x + b*x^3 + c*x^5 that take singular values of [0, 1] near to one, one after the other."""

    polynomials: tuple[tuple[float, float, float], ...]
    slack: float
    """What the Frobenius norm is multiplied with before it divides the matrix."""


ITERATIONS: Final[Mapping[str, Iteration]] = {
    "newton_schulz": Iteration(((3.4445, -4.7750, 2.0315),) * 5, 1.0),
    "polar_express": Iteration(POLYNOMIALS, SAFETY),
}
"""By `training.optimizer.orthogonalizer`. Newton-Schulz's quintic is Jordan's, steepest at zero; singular values end up
in about 0.7 to 1.2."""


class Muon(OptimizerKind):
    """Groups have `momentum`, `orthogonalizer` and `parts`, the rows of the matrices that each parameter stacks; all
    are of one shape. Kinds that turn momentum into a direction in another way override `directions`."""

    name: ClassVar[str] = "muon"

    def groups(self, model: GPT, settings: OptimizerConfig) -> list[Group]:
        stacked = block_matrices(model)
        by_shape: dict[tuple[Any, ...], list[Tensor]] = {}
        for parameter, parts in stacked:
            by_shape.setdefault((tuple(parameter.shape), parts), []).append(parameter)
        groups: list[Group] = [
            {
                "kind": self.name,
                "params": parameters,
                "parts": list(parts),
                "lr": settings.learning_rate,
                "momentum": settings.muon_momentum,
                "orthogonalizer": settings.orthogonalizer,
                "weight_decay": settings.weight_decay,
                "cautious": settings.cautious_weight_decay,
            }
            for (_, parts), parameters in by_shape.items()
        ]
        matrices = {id(parameter) for parameter, _ in stacked}
        rest = [parameter for parameter in model.parameters() if id(parameter) not in matrices]
        rate = settings.learning_rate if settings.adam_learning_rate is None else settings.adam_learning_rate
        return [*groups, *(adamw_group(some, settings, own, 0.0) for own, some in by_rate(model, rest, settings, rate))]

    def update(self, group: Group, parameters: list[Tensor], state: State) -> None:
        momenta = buffers(state, parameters, "momentum_buffer")
        updates = muon_updates(gradients(parameters), momenta, group["momentum"])
        directions = self.directions(group, parameters, updates, state)
        decay = group["lr"] * group["weight_decay"]
        if decay and group["cautious"]:
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.addcmul_(parameter, (direction * parameter > 0).to(parameter.dtype), value=-decay)
        elif decay:
            torch._foreach_mul_(parameters, 1 - decay)
        torch._foreach_add_(parameters, directions, alpha=-group["lr"])

    def directions(
        self, group: Group, parameters: Sequence[Tensor], updates: Sequence[Tensor], state: State
    ) -> list[Tensor]:
        """What a learning rate of one takes from each of `parameters`, given their momenta's `updates`."""
        return orthogonal_directions(updates, group["parts"], ITERATIONS[group["orthogonalizer"]])

    def schedule(self, group: Group, step: float, settings: OptimizerConfig) -> None:
        group["momentum"] = muon_momentum(step, settings)


def block_matrices(model: nn.Module) -> list[tuple[Tensor, tuple[int, ...]]]:
    """Every matrix of the blocks and of `predict_ahead`, with the rows of those stacked in it (q | k | v | gate, gate |
    value)."""
    matrices: list[tuple[Tensor, tuple[int, ...]]] = []
    for module in model.modules():
        if isinstance(module, Attention | MLP):
            matrices.append((module.input.weight, module.input_parts))
            matrices.append((module.output.weight, (module.output.out_features,)))
        elif isinstance(module, ValueEmbedding) and module.projection is not None:
            matrices.append((module.projection.weight, (module.projection.out_features,)))
        elif isinstance(module, Ahead):
            matrices += [(matrix, (matrix.shape[0],)) for matrix in module.parameters()]
        elif isinstance(module, Experts):
            matrices.append((module.input, module.input_parts))
            matrices.append((module.output, (module.output.shape[-2],)))
    return matrices


def muon_momentum(step: float, settings: OptimizerConfig) -> float:
    """Momentum at `step`: from 0.85 to the setting over 300 steps, since early gradients go stale fast."""
    share = min(1.0, step / MOMENTUM_STEPS)
    return MOMENTUM_START + (settings.muon_momentum - MOMENTUM_START) * share


def orthogonalize(matrices_Mrc: Tensor, iteration: Iteration = ITERATIONS["newton_schulz"]) -> Tensor:
    """Nearest semi-orthogonal matrices, roughly: (M, rows, columns) -> the same shape in bfloat16.

    The quintic iteration of https://kellerjordan.github.io/posts/muon/, on the side with fewer rows.
    """
    tall = matrices_Mrc.shape[1] > matrices_Mrc.shape[2]
    x_Mrc = matrices_Mrc.bfloat16()
    if tall:
        x_Mrc = x_Mrc.mT
    x_Mrc = x_Mrc / (x_Mrc.norm(dim=(1, 2), keepdim=True) * iteration.slack).clamp(min=EPS)
    for a, b, c in iteration.polynomials:
        gram_Mrr = x_Mrc @ x_Mrc.mT
        poly_Mrr = torch.baddbmm(gram_Mrr, gram_Mrr, gram_Mrr, beta=b, alpha=c)
        x_Mrc = torch.baddbmm(x_Mrc, poly_Mrr, x_Mrc, beta=a)
    return x_Mrc.mT if tall else x_Mrc


def update_scale(rows: int, columns: int) -> float:
    """What a matrix's learning rate is multiplied with: sqrt(max(1, rows / columns)), as Muon was tuned."""
    return math.sqrt(max(1.0, rows / columns))


def muon_updates(gradients: Sequence[Tensor], momenta: Sequence[Tensor], momentum: float) -> list[Tensor]:
    """Nesterov momentum, in place on `momenta` -> what to orthogonalise. Both as torch.optim.Muon has them."""
    torch._foreach_lerp_(list(momenta), list(gradients), 1 - momentum)
    return list(torch._foreach_lerp(list(gradients), list(momenta), momentum))


def orthogonal_directions(
    updates: Sequence[Tensor], parts: Sequence[int], iteration: Iteration = ITERATIONS["newton_schulz"]
) -> list[Tensor]:
    """Orthogonalise and scale each matrix stacked in each of `updates`, all of one shape (..., out, in).

    `parts` are the rows of the stacked matrices. Returns tensors of the updates' shape and dtype.
    """
    results = [torch.empty_like(update) for update in updates]
    columns = updates[0].shape[-1]
    for rows in dict.fromkeys(parts):  # q and gate have one shape, k and v perhaps another: a batch for each
        turned = shared_out(stacked_matrices(updates, parts, rows), partial(orthogonalize, iteration=iteration))
        turned = turned * update_scale(rows, columns)
        for target, matrix in zip(stacked_matrices(results, parts, rows), turned, strict=True):
            target.copy_(matrix)
    return results


def stacked_matrices(tensors: Sequence[Tensor], parts: Sequence[int], rows: int) -> list[Tensor]:
    """Views of all matrices of so many rows that are stacked in `tensors`, in one order, each (rows, columns)."""
    return unstacked([piece for tensor in tensors for piece in _pieces(tensor, parts, rows)])


def unstacked(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Views of the matrices in tensors that are one each, or one for each expert."""
    return [matrix for tensor in tensors for matrix in (tensor.unbind(0) if tensor.ndim == 3 else [tensor])]


def _pieces(tensor: Tensor, parts: Sequence[int], rows: int) -> list[Tensor]:
    """Views of those matrices stacked in `tensor` that have so many rows."""
    return [piece for piece in tensor.split(list(parts), dim=-2) if piece.shape[-2] == rows]
