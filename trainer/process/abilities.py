"""What a GPU can compute, asked before anything is trained on it.

In: the device of a rank. Out: nothing, a warning, or a `ConfigError`: for a card that this build of torch has no code
for, whose every operation would fail, and a sentence for one that only imitates bfloat16.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from trainer.errors import ConfigError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

BF16_SINCE: Final = (8, 0)
"""Compute capability from which a card has bfloat16 of its own (Ampere)."""


def check_abilities(device: torch.device, precision: str) -> None:
    """Raise `ConfigError` for a GPU that torch cannot use; warn of a precision that it only imitates."""
    import torch

    if device.type != "cuda":
        return
    name, capability = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
    if torch.version.hip is None and not has_code_for(capability, torch.cuda.get_arch_list()):
        raise ConfigError(
            f"{name} has compute capability {_dotted(capability)}, and torch {torch.__version__} is built for "
            f"{', '.join(torch.cuda.get_arch_list())}: install a build of torch for it, or set training.device to 'cpu'"
        )
    note = precision_note(name, capability, precision)
    if note is not None and torch.version.hip is None:
        log.warning("%s", note)


def has_code_for(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Whether a card of this compute capability runs what was built for these, named `sm_86`, `sm_90a`, `compute_90`.

    Machine code (sm) runs on cards of its own major version and no older minor one, an intermediate (compute) on any
    card that is as new (CUDA C++ programming guide, "Application compatibility"); `sm_90a` on exactly that one.
    """
    for architecture in architectures:
        kind, _, number = architecture.partition("_")
        digits = number.rstrip("af")
        if not digits.isdecimal():
            continue
        major, minor = divmod(int(digits), 10)
        exact = number.endswith("a")
        if exact and capability == (major, minor):
            return True
        if kind == "sm" and not exact and capability[0] == major and capability[1] >= minor:
            return True
        if kind == "compute" and not exact and capability >= (major, minor):
            return True
    return not architectures


def precision_note(name: str, capability: tuple[int, int], precision: str) -> str | None:
    """What to say of a card that has no bfloat16; none where there is nothing to say."""
    if precision != "bf16" or capability >= BF16_SINCE:
        return None
    return (
        f"{name} (compute capability {_dotted(capability)}) has no bfloat16 of its own and imitates it slowly: set "
        "training.precision to 'float32', which is another model, or train on a card of 8.0 or more"
    )


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
