"""How the next token is drawn, as settings that are checked before anything heavy is loaded. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from trainer.errors import ConfigError

SEEDS: Final = (-(2**63), 2**64 - 1)
"""The smallest and the largest seed that torch takes."""


@dataclass(frozen=True)
class Sampling:
    """Settings of a text's continuation."""

    max_new_tokens: int
    """Most tokens that are added."""
    temperature: float = 1.0
    """What scores are divided by: 0 takes the likeliest token every time."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this probability (Holtzman et al. 2020)."""
    top_k: int = 0
    """Draw from so many of the likeliest tokens (Fan et al. 2018); 0 is all."""
    seed: int = 0
    """The same seed gives the same ids on the same device."""

    def checked(self) -> Sampling:
        """Itself. Raises `ConfigError` naming a setting that is out of range."""
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be above 0, found {self.max_new_tokens}")
        if not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise ConfigError(f"temperature must be a number not below 0, found {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be above 0 and at most 1, found {self.top_p}")
        if self.top_k < 0:
            raise ConfigError(f"top_k must not be below 0, found {self.top_k}; 0 draws from all tokens")
        if not SEEDS[0] <= self.seed <= SEEDS[1]:
            raise ConfigError(f"seed must be from {SEEDS[0]} to {SEEDS[1]}, found {self.seed}")
        return self
