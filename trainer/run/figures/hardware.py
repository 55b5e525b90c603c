"""What hardware can do and costs, and how much of it a run uses.

Model FLOPs are counted by `GPT.flops_per_token` with the convention of PaLM (Chowdhery et al. 2022, appendix B), as
nanoGPT and nanochat do, so that an MFU here can stand beside theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """A device as sold. TFLOP/s are dense (no sparsity); the price is a typical on-demand one, in US dollars."""

    name: str
    bf16_tflops: float
    float32_tflops: float
    memory_gib: float
    price_per_hour: float


# Peaks from the vendors' data sheets; float32 without TF32. Prices are what clouds asked for in 2025 and go stale:
# training.price_per_device_hour replaces them.
HARDWARE: Mapping[str, Hardware] = {
    item.name: item
    for item in (
        Hardware("B200", 2250.0, 75.0, 180, 5.00),
        Hardware("H200", 989.4, 66.9, 141, 3.50),
        Hardware("H100", 989.4, 66.9, 80, 2.50),
        Hardware("A100", 312.0, 19.5, 80, 1.50),
        Hardware("L40S", 362.05, 91.6, 48, 1.00),
        Hardware("L4", 121.0, 30.3, 24, 0.60),
        Hardware("RTX 5090", 209.5, 104.8, 32, 0.50),
        Hardware("RTX 4090", 165.2, 82.6, 24, 0.35),
        Hardware("RTX 3090", 71.0, 35.6, 24, 0.20),
    )
}


def hardware_named(device_name: str) -> Hardware | None:
    """The entry whose name occurs in what the driver calls a device, such as `NVIDIA H100 80GB HBM3`."""
    plain = device_name.lower().replace("geforce ", "")
    return next((item for name, item in HARDWARE.items() if re.search(rf"\b{name.lower()}\b", plain)), None)


def utilisation(
    tokens_per_second: float, flops_a_token: float, devices: int, peak_tflops: float | None
) -> float | None:
    """MFU: the share of the devices' peak that the model's own operations use; none where the peak is unknown."""
    if not peak_tflops:
        return None
    return tokens_per_second * flops_a_token / (devices * peak_tflops * 1e12)
