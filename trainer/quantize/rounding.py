"""A matrix as whole numbers of a few bits and scales: rounded to nearest, or so that its products stay near.

In: weights (R, C) and, to round for products, the second moments of what they are multiplied with (C, C). Out: `Codes`,
whose product with their scales is near the weights. A row has one scale, or one for every `group` of its columns, in
half precision; a code is a signed number of `bits` bits, so one sign has one number more than the other, and a scale's
sign says which. No zero point: trained weights lie around zero.

Shape letters: R rows, C columns, G groups of columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CLIPS = tuple(1 - 0.035 * step for step in range(20))
"""Shares of a group's greatest weight at which it may be cut off: with few bits a finer step is worth the clipped."""
_BELOW = (1 << 10 - 4) - 1  # bits of a float16's fraction of 10 that are left out
DAMPING = 0.01
"""Of the mean second moment, added to each: GPTQ's own share."""


@dataclass(frozen=True)
class Codes:
    """A matrix as whole numbers and scales."""

    codes: Tensor
    """int8 (R, C), from -2 ** (bits - 1) to 2 ** (bits - 1) - 1."""
    scales: Tensor
    """float16 (R, G)."""
    bits: int
    group: int
    """Columns that share a scale; the last group of a row may be shorter."""

    def weights(self) -> Tensor:
        """What they stand for, float32 (R, C)."""
        return self.codes.float() * _over_columns(self.scales, self.group, self.codes.shape[1])


def round_to_nearest(weights_RC: Tensor, bits: int, group: int) -> Codes:
    """Every weight to its nearest code, the scale such that a group's greatest weight is the greatest code.

    No error is above half a step, step = greatest weight / 2 ** (bits - 1), but for what clips at the side of the
    smaller code, at most a step; and the scale's own rounding.
    """
    scales_RG = _scales(weights_RC.float(), bits, group, 1.0).half()
    return Codes(_nearest(weights_RC.float(), scales_RG, bits, group), scales_RG, bits, group)


def round_for_products(weights_RC: Tensor, moments_CC: Tensor | None, bits: int, group: int) -> Codes:
    """Codes whose products with inputs of these second moments are near the weights' own.

    Scales are those of `CLIPS`, of either sign, that give the least error by each column's second moment alone. Then
    columns are rounded in turn, the one with the greatest moment first, and what a column's rounding does to the
    products is made up for in those that are not rounded yet (GPTQ, Frantar et al. 2023, equations 2 and 3). Without
    moments: those scales, and nearest codes.

    Args:
        weights_RC: any dtype.
        moments_CC: the sum or mean over inputs x of x x^T; rows and columns of zeros are inputs that never occur.
    """
    weights_RC = weights_RC.float()
    columns = weights_RC.shape[1]
    importance_C = torch.ones(columns) if moments_CC is None else moments_CC.diagonal().float()
    scales_RG = _least_error_scales(weights_RC, importance_C, bits, group)
    if moments_CC is None or not bool(importance_C.any()):
        return Codes(_nearest(weights_RC, scales_RG, bits, group), scales_RG, bits, group)
    order_C = torch.argsort(importance_C, descending=True, stable=True)
    upper_CC = _inverse_factor(moments_CC[order_C][:, order_C])
    left_RC = weights_RC[:, order_C].clone()
    steps_RC = _over_columns(scales_RG, group, columns)[:, order_C]
    codes_RC = torch.empty_like(left_RC, dtype=torch.int8)
    for column in range(columns):
        code_R = _to_codes(left_RC[:, column], steps_RC[:, column], bits)
        codes_RC[:, column] = code_R.to(torch.int8)
        error_R = (left_RC[:, column] - code_R * steps_RC[:, column]) / upper_CC[column, column]
        left_RC[:, column + 1 :] -= error_R[:, None] * upper_CC[column, column + 1 :]
    return Codes(codes_RC[:, torch.argsort(order_C)], scales_RG, bits, group)


def _inverse_factor(moments_CC: Tensor) -> Tensor:
    """The upper Cholesky factor of the inverse of the damped moments, float32 (C, C)."""
    damped_CC = moments_CC.double()
    damped_CC = damped_CC + torch.eye(len(damped_CC)) * DAMPING * damped_CC.diagonal().mean()
    inverse_CC = torch.cholesky_inverse(torch.linalg.cholesky(damped_CC))
    return torch.linalg.cholesky(inverse_CC, upper=True).float()


def _least_error_scales(weights_RC: Tensor, importance_C: Tensor, bits: int, group: int) -> Tensor:
    """Each group's scale of those by `CLIPS` with the least squared error, weighted by column; float16 (R, G)."""
    best_RG = _coarse(_scales(weights_RC, bits, group, 1.0))
    least_RG = torch.full(best_RG.shape, torch.inf)
    for share in (sign * clip for clip in CLIPS for sign in (1.0, -1.0)):
        scales_RG = _coarse(_scales(weights_RC, bits, group, share))
        steps_RC = _over_columns(scales_RG, group, weights_RC.shape[1])
        errors_RC = (weights_RC - _to_codes(weights_RC, steps_RC, bits) * steps_RC).square() * importance_C
        error_RG = _by_group(errors_RC, group).sum(2)
        better_RG = error_RG < least_RG
        best_RG, least_RG = torch.where(better_RG, scales_RG, best_RG), torch.where(better_RG, error_RG, least_RG)
    return best_RG


def _scales(weights_RC: Tensor, bits: int, group: int, share: float) -> Tensor:
    """Scales at which `share` of a group's greatest weight is the code of greatest size, which is negative; (R, G)."""
    groups_RGg = _by_group(weights_RC, group)
    place_RG1 = groups_RGg.abs().argmax(2, keepdim=True)
    greatest_RG = groups_RGg.gather(2, place_RG1)[:, :, 0]
    return share * greatest_RG / -(2.0 ** (bits - 1))


def _coarse(scales: Tensor) -> Tensor:
    """Half precision with four bits of the fraction, the size rounded up.

    A step need not be exact, for codes are chosen for the step there is; and an xz stream has less to hold.
    """
    size = (scales.abs().half().view(torch.int16) + _BELOW) & ~_BELOW
    return size.view(torch.float16).copysign(scales.half())


def _by_group(values_RC: Tensor, group: int) -> Tensor:
    """(R, G, group), zeros after a last group that is shorter."""
    missing = -values_RC.shape[1] % group
    return torch.nn.functional.pad(values_RC, (0, missing)).unflatten(1, (-1, group))


def _over_columns(scales_RG: Tensor, group: int, columns: int) -> Tensor:
    """Each column's scale, float32 (R, C)."""
    return scales_RG.float().repeat_interleave(group, dim=1)[:, :columns]


def _nearest(weights_RC: Tensor, scales_RG: Tensor, bits: int, group: int) -> Tensor:
    steps_RC = _over_columns(scales_RG, group, weights_RC.shape[1])
    return _to_codes(weights_RC, steps_RC, bits).to(torch.int8)


def _to_codes(weights: Tensor, steps: Tensor, bits: int) -> Tensor:
    """Nearest codes as floats; zero where the step is."""
    codes = torch.where(steps == 0, 0.0, weights / steps).round()
    return codes.clamp(-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
