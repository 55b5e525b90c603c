"""A model's tensors in few bits: its matrices as codes and scales, everything else in half precision.

In: a GPT and calibration text. Out: tensors by name, ready for `trainer.quantize.file`. What is a matrix is decided by
shape alone, embeddings included, so the switches of a model need no line here: at least two dimensions, the last of at
least `LEAST_COLUMNS`; a row is all but the last dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import torch
from torch import Tensor

from trainer.errors import ExportError
from trainer.quantize.calibration import second_moments
from trainer.quantize.rounding import Codes, round_for_products, round_to_nearest
from trainer.run.checkpoints.tensors import model_tensors

LEAST_COLUMNS: Final = 16
"""Below it a row's scale would weigh as much as what it saves."""
LEAST_BITS: Final = 2
MOST_BITS: Final = 8
HALF: Final = 16
FULL: Final = 32
Method = Literal["gptq", "nearest"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
WIDTHS: Final = (*range(LEAST_BITS, MOST_BITS + 1), HALF, FULL)


@dataclass(frozen=True)
class QuantizeSettings:
    """How a model's weights are written."""

    bits: int = 4
    """Of a matrix's weight: 2 to 8, or 16 and 32 for plain half and single precision."""
    group: int | None = None
    """Columns that share a scale; none: a whole row."""
    method: Method = "gptq"
    """`nearest` rounds every weight by itself, and reads no text."""

    @classmethod
    def of(cls, bits: int, group: int | None, method: str) -> QuantizeSettings:
        """From words of a command. Raises ExportError for one that is not known."""
        if method not in METHODS:
            raise ExportError(f"method: found {method!r}; there are {', '.join(METHODS)}")
        return cls(bits, group, method)

    @property
    def calibrated(self) -> bool:
        """Whether rounding goes by text."""
        return self.method == "gptq" and self.bits <= MOST_BITS

    def __post_init__(self) -> None:
        if self.bits not in WIDTHS:
            raise ExportError(f"bits: found {self.bits}; a weight has {LEAST_BITS} to {MOST_BITS}, {HALF} or {FULL}")
        if self.group is not None and self.group < 8:
            raise ExportError(
                f"group: found {self.group}; at least 8 columns share a scale, or leave it out for whole rows"
            )


def quantize(model: Any, settings: QuantizeSettings, ids_BT: Tensor | None = None) -> dict[str, Codes | Tensor]:
    """A GPT's tensors by name: `Codes` for matrices, float16 (or float32, at 32 bits) for the rest.

    `ids_BT` is training text as token ids, which `method: gptq` goes by. Raises ExportError where it is missing, or
    where a number is beyond half precision.
    """
    if settings.calibrated and ids_BT is None:
        raise ExportError("method gptq rounds by training text; give some, or take method nearest")
    tensors = model_tensors(model)
    if settings.bits > MOST_BITS:
        return {name: _plain(name, tensor, settings.bits) for name, tensor in tensors.items()}
    moments = second_moments(model, ids_BT) if settings.calibrated and ids_BT is not None else {}
    return {
        name: _codes(tensor, settings, moments.get(name)) if _is_matrix(tensor) else _plain(name, tensor, HALF)
        for name, tensor in tensors.items()
    }


def dequantized(tensors: Mapping[str, Codes | Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The tensors as a model holds them: float32, and of its shapes. Raises ExportError for what does not fit."""
    if wrong := sorted(tensors.keys() ^ shapes.keys()):
        raise ExportError(
            f"{wrong[0]!r} is {'not in' if wrong[0] in tensors else 'missing for'} a model of this configuration"
        )
    whole = {}
    for name, value in tensors.items():
        weights = value.weights() if isinstance(value, Codes) else value
        if weights.numel() != shapes[name].numel():
            raise ExportError(f"{name!r} has {weights.numel():,} numbers; the model's is {tuple(shapes[name])}")
        whole[name] = weights.reshape(shapes[name])
    return whole


def _is_matrix(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.ndim >= 2 and tensor.shape[-1] >= LEAST_COLUMNS


def _codes(tensor: Tensor, settings: QuantizeSettings, moments_CC: Tensor | None) -> Codes:
    weights_RC = tensor.detach().cpu().flatten(0, -2)
    group = min(settings.group or weights_RC.shape[1], weights_RC.shape[1])
    if settings.method == "nearest":
        return round_to_nearest(weights_RC, settings.bits, group)
    return round_for_products(weights_RC, moments_CC, settings.bits, group)


def _plain(name: str, tensor: Tensor, bits: int) -> Tensor:
    tensor = tensor.detach().cpu()
    if not tensor.is_floating_point():
        return tensor
    plain = tensor.to(torch.float32 if bits == FULL else torch.float16)
    if not bool(plain.isfinite().all()):
        raise ExportError(
            f"{name!r}: a number is not finite, or beyond half precision (65,504); export it with 32 bits"
        )
    return plain
