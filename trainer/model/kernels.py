"""Which of several equal ways a CPU computes a model by, set for the whole process as torch's own switches are.

What differs between them is the order of float sums and so a result's last bits. `PLAIN` is the way of every process
that sets nothing, of evaluation and export among them; a run that chose another (`trainer.run.ways`) sets it while it
trains. A GPU, and whatever torch.compile makes, knows of none of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final, Literal

from pydantic.dataclasses import dataclass

from trainer.settings import STRICT_KEYS

Products = Literal["onednn", "mkl"]
Attention = Literal["blocks", "fused"]


@dataclass(frozen=True, config=STRICT_KEYS)
class Kernels:
    """One way for each kind of work."""

    products: Products = "onednn"
    """Of matrices in float32, where this build of torch reaches oneDNN; in bf16 torch always takes it."""
    attention: Attention = "blocks"
    """Of bf16 and rows that are short enough; everything else is torch's fused kernel."""


PLAIN: Final = Kernels()
_in_use = PLAIN


def kernels_in_use() -> Kernels:
    """What this process computes by now."""
    return _in_use


def compute_by(kernels: Kernels) -> None:
    """Compute so from here on."""
    global _in_use
    _in_use = kernels


@contextlib.contextmanager
def computed_by(kernels: Kernels) -> Iterator[None]:
    """Compute so within it, unless something there sets another; as before at its end."""
    before = _in_use
    compute_by(kernels)
    try:
        yield
    finally:
        compute_by(before)
