"""The GPT and its settings. `ModelConfig` is free of torch; the rest imports torch when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.model.config import GPT2, ModelConfig
from trainer.model.sections import MoEConfig, Recurrence, RopeScaling

if TYPE_CHECKING:
    from trainer.model.frame import KVCache, document_index
    from trainer.model.gpt import GPT, LossParts
    from trainer.model.moe import ExpertLoad
    from trainer.model.shape import shape_of

__all__ = [
    "GPT",
    "GPT2",
    "ExpertLoad",
    "KVCache",
    "LossParts",
    "MoEConfig",
    "ModelConfig",
    "Recurrence",
    "RopeScaling",
    "document_index",
    "shape_of",
]

_HOMES = {
    "GPT": "gpt",
    "LossParts": "gpt",
    "ExpertLoad": "moe",
    "KVCache": "frame",
    "document_index": "frame",
    "shape_of": "shape",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch on first use, so that reading settings stays fast (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'trainer.model' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"trainer.model.{_HOMES[name]}"), name)
