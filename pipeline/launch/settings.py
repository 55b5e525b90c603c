"""How training is launched."""

from __future__ import annotations

from pipeline.base.settings import Settings, runtime


class LaunchSettings(Settings):
    """How the trainer is launched. None of it changes the result beyond float tolerance."""

    ranks: int = runtime(1, ge=1)
    """Processes torchrun starts on this machine: one per GPU, or a few on a CPU. Where there are fewer GPUs, as many
    as those; the batch stays."""
    threads_per_rank: int | None = runtime(None, ge=1)
    """CPU threads of a rank; none: this machine's cores shared out evenly."""
