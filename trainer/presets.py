"""Model and recipe together, under one name: what `preset: s` in a run or a profile stands for.

`m` and `l` are the project's whole shape (RoPE, RMSNorm, QK-norm, SwiGLU, gated attention, no biases, tied embeddings)
at 22M and 117M parameters. `s` is GPT-2's block with RoPE for its positions, 0.6M parameters: at its size the other
parts were measured to give nothing in 3M tokens, little in 4M, and cost about a fifth of the speed. `gpt2` is GPT-2
124M as build-nanogpt trains it, `gpt2_3x` the same at three times its learning rate (the biggest single gain for AdamW
at this size; docs/training.md has the sources). Whatever a run sets itself wins over its preset.

The recipe of `s` follows from measurements on a CPU: its shape, optimizer and schedule from the ablation study
(docs/results.md: `preset_s` and `preset_s_lean`), its learning rates from a sweep by factors of two with the whole
shape (docs/benchmarks/training.md). `m` and `l` train as it does, with modded-nanogpt's and nanochat's rates for models
of about their size and the parts, and without the biases, that these have there; neither has been swept here, which
needs a GPU (`learning_rate` and `adam_learning_rate` together), and they are not to be trusted before. What of
each preset was seen to carry over from 0.6M to 3M parameters, and what was not, is in docs/ladder.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from trainer.errors import ConfigError
from trainer.mistakes import joined
from trainer.model.config import GPT2

_GPT2_MODEL = {
    field.name: getattr(GPT2, field.name)
    for field in dataclasses.fields(GPT2)
    if getattr(GPT2, field.name) != field.default
}
_GPT2_TRAINING = {
    "batch_tokens": 524_288,
    "optimizer": {"kind": "adamw", "learning_rate": 6e-4},
    "schedule": {"kind": "cosine", "warmup_steps": 715, "final_share": 0.1},
}

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "s": {
        "model": {
            "vocab_size": 2048,
            "context": 256,
            "width": 96,
            "layers": 4,
            "heads": 3,
            "ff_width": 384,
            "norm": "layernorm",
            "mlp": "gelu",
            "attention_input": "3n",
            "qk_norm": False,
            "bias": True,
        },
        "training": {
            "batch_tokens": 8192,
            "optimizer": {"kind": "muon", "learning_rate": 0.04, "adam_learning_rate": 0.024},
            "schedule": {"kind": "wsd", "warmup_steps": 20, "final_share": 0.05},
        },
    },
    "m": {
        "model": {"vocab_size": 16384, "context": 1024, "width": 384, "layers": 8, "heads": 6, "ff_width": 1024},
        "training": {
            "batch_tokens": 262_144,
            "optimizer": {"kind": "muon", "learning_rate": 0.02, "adam_learning_rate": 3.6e-3},
            "schedule": {"kind": "wsd", "warmup_steps": 40},
            "ema_horizon": 150,
        },
    },
    "l": {
        "model": {"vocab_size": 32768, "context": 1024, "width": 768, "layers": 12, "heads": 6, "ff_width": 2048},
        "training": {
            "batch_tokens": 524_288,
            "optimizer": {"kind": "muon", "learning_rate": 0.025, "adam_learning_rate": 3.6e-3},
            "schedule": {"kind": "wsd", "warmup_steps": 40},
            "ema_horizon": 150,
        },
    },
    "gpt2": {"model": _GPT2_MODEL, "training": _GPT2_TRAINING},
    "gpt2_3x": {
        "model": _GPT2_MODEL,
        "training": {
            **_GPT2_TRAINING,
            "optimizer": {"kind": "adamw", "learning_rate": 1.8e-3},
            "schedule": {"kind": "cosine", "warmup_steps": 285, "final_share": 0.1},
        },
    },
}


def with_preset(data: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`data` with its `preset` replaced by that preset's model and training settings, under `data`'s own.

    What is no mapping stays, for whoever reads it to refuse.

    Raises `ConfigError` for a name that is none of `PRESETS`.
    """
    name = data["preset"]
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(f"{joined(where, 'preset')}: {name!r} is not one of {', '.join(PRESETS)}")
    filled = {key: value for key, value in data.items() if key != "preset"}
    for section, defaults in PRESETS[name].items():
        own = filled.get(section, {})
        filled[section] = laid_over(defaults, own) if isinstance(own, Mapping) else own
    return filled


def laid_over(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` over `defaults`, group by group."""
    groups = {
        name: laid_over(group, own[name])
        for name, group in defaults.items()
        if isinstance(group, Mapping) and isinstance(own.get(name), Mapping)
    }
    return {**defaults, **own, **groups}
