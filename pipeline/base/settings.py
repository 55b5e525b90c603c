"""The base of every settings class of the pipeline: strict, frozen, and split into identity and runtime.

How settings are declared and what identity and runtime mean is the trainer's (`trainer.settings`), handed on here, so
that both read settings in one way.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from trainer.settings import STRICT_KEYS, identity_of, is_runtime, later, runtime

__all__ = ["Settings", "identity_of", "is_runtime", "later", "runtime"]


class Settings(BaseModel):
    """Base class of all settings under `pipeline`: unknown keys are refused, values do not change once read."""

    model_config = ConfigDict(frozen=True, **STRICT_KEYS)

    def identity(self) -> dict[str, Any]:
        """The settings that change the result, as plain JSON values, ready for a fingerprint."""
        return identity_of(self)
