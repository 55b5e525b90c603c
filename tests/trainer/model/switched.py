"""A small model with any of the speedruns' switches, for the tests of each and of models that have them."""

import dataclasses

import torch

from trainer.model import GPT, ModelConfig, Recurrence

SMALL = ModelConfig(vocab_size=97, context=24, width=32, layers=4, heads=4, ff_width=48)
NEUTRAL = {
    "smear": {"smear": True},
    "canon": {"canon": ("A", "B", "C", "D")},
    "scalars": {"residual_scalars": True, "x0_scalars": True},
    "value tables": {"value_embeddings": "table"},
    "shared value table": {"value_embeddings": "shared"},
    "projected values": {"value_embeddings": "projected"},
    "bigrams": {"bigram_rows": 31, "bigram_width": 8},
    "head gate": {"head_gate": True},
    "learned gain": {"learned_qk_gain": True},
}
ALL = {
    "smear": True,
    "canon": ("A", "B", "C", "D"),
    "residual_scalars": True,
    "x0_scalars": True,
    "bigram_rows": 31,
    "value_embeddings": "projected",
    "value_residual": True,
    "logit_cap": 15.0,
    "unet": True,
    "head_gate": True,
    "qk_gain": 1.2,
    "learned_qk_gain": True,
    "rope_share": 0.5,
    "key_offset": True,
    "parallel_residual": True,
    "recurrence": Recurrence(1, 1),
    "window": 6,
    "predict_ahead": 2,
}


def model_of(**changes) -> GPT:
    torch.manual_seed(0)
    return GPT(dataclasses.replace(SMALL, **changes))


def some_ids(batch: int = 2, length: int = 25) -> torch.Tensor:
    return torch.randint(0, 97, (batch, length), generator=torch.Generator().manual_seed(3))
