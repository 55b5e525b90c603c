"""What this machine's processor calls itself."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name() -> str:
    """Such as `AMD EPYC 7B13 64-Core Processor`; the architecture where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
