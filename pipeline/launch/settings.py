"""How training is launched."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import field_validator

from pipeline.base.settings import Settings, runtime

AUTO: Final = "auto"


class LaunchSettings(Settings):
    """How the trainer is launched. None of it changes the result beyond float tolerance."""

    ranks: Literal["auto"] | int = runtime(AUTO)
    """Processes torchrun starts on this machine, between which each batch is shared, whatever their number. `auto`:
    one a GPU, or on a CPU one a core as far as that pays. A number: as many, or as many as there are GPUs where those
    are fewer; on a CPU no more than there are cores."""
    threads_per_rank: int | None = runtime(None, ge=1)
    """CPU threads of a rank; none: this machine's cores shared out evenly."""

    @field_validator("ranks", mode="before")
    @classmethod
    def _auto_or_a_number(cls, value: object) -> object:
        number = int(value) if isinstance(value, float) and value.is_integer() else value
        if number == AUTO or (isinstance(number, int) and number is not True and number >= 1):
            return number
        raise ValueError("must be auto or a whole number of at least 1")
