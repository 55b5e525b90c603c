"""How a GPU multiplies, set once a process: what torch would decide by its version is decided here."""

from __future__ import annotations

from typing import Literal

import torch


def set_products(device: torch.device, precision: Literal["bf16", "float32"]) -> None:
    """Set the process up for a run on `device`; a CPU has nothing to set.

    In bf16 the products that stay in float32 (covariances of an optimizer, a router) are rounded to TF32, as finely as
    their inputs deserve; a run in float32 is computed in float32. Sums of bf16 products are kept in float32 also where
    a product is cut into parts, which costs nothing one could measure.
    """
    if device.type != "cuda":
        return
    torch.set_float32_matmul_precision("high" if precision == "bf16" else "highest")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
