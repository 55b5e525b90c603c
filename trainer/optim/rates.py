"""Peak learning rates by what a parameter is: a table of embeddings, the head's matrix, a vector, anything else.

What AdamW updates wants rates far apart: a row of an embedding gets a gradient from few tokens, the head from all, and
a norm's gain starts where it should end (modded-nanogpt's track 3: 0.7, 0.004 and 0.015 beside Muon's 0.025).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from trainer.config import OptimizerConfig
from trainer.model.gpt import GPT


def by_rate(
    model: GPT, parameters: Sequence[Tensor], settings: OptimizerConfig, default: float
) -> list[tuple[float, list[Tensor]]]:
    """Those of `model`'s parameters with their peaks, a list for each peak; `default` where settings give none.

    A tied table is an embedding: the head has then no matrix of its own.
    """
    embeddings = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    head = set() if model.head is None else {id(p) for p in model.head.parameters()}
    groups: dict[float, list[Tensor]] = {}
    for parameter in parameters:
        if id(parameter) in embeddings:
            own = settings.embedding_learning_rate
        elif id(parameter) in head:
            own = settings.head_learning_rate
        else:
            own = settings.vector_learning_rate if parameter.ndim < 2 else None
        groups.setdefault(default if own is None else own, []).append(parameter)
    return list(groups.items())
