"""What a model expected at every token of whole documents, beside what came.

In: documents as token ids, without end-of-text, scored as `trainer.scoring.documents` does. Out: for each token of the
text its nats, the entropy of the distribution it was drawn from (the nats that the model itself expected), the
probability of the likeliest token, and whether that was the one. Mean nats above mean entropy say that a model is surer
of itself than it may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.errors import DataError
from trainer.scoring.documents import LOGITS_AT_ONCE, batches_of, evaluating, scored_positions

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Predictions:
    """Of the tokens of one document's text, in order; float64 (T), `right` bool (T)."""

    nats: np.ndarray
    entropy: np.ndarray
    """Nats that the model expected."""
    confidence: np.ndarray
    """Probability of the likeliest token."""
    right: np.ndarray
    """Whether the likeliest token was the one that came."""


def predict_documents(
    model: Any, documents: Sequence[Sequence[int]], *, eot_id: int, context: int, batch_tokens: int = 8192
) -> list[Predictions]:
    """What the model expected at each token of every document; the closing end-of-text is left out.

    Args: as of `trainer.scoring.documents.score_documents`, with which the nats agree.

    Raises:
        DataError: the context is too short to score anything.
    """
    import torch

    if context < 2:
        raise DataError(f"a context of {context} tokens cannot score documents: it must be at least 2")
    sequences = [np.concatenate([[eot_id], np.asarray(ids, dtype=np.int64), [eot_id]]) for ids in documents]
    figures = [np.zeros((4, len(ids) - 1)) for ids in sequences]
    with evaluating(model) as device, torch.inference_mode():
        for batch in batches_of([len(ids) - 2 for ids in sequences], context, batch_tokens):
            hidden_NC, targets_N = scored_positions(model, sequences, batch, device)
            found_4N = _expected(model, hidden_NC, targets_N).cpu().double().numpy()
            at = 0
            for window in batch:
                count = window.end - window.first_scored
                figures[window.document][:, window.first_scored : window.end] = found_4N[:, at : at + count]
                at += count
    texts = [figure[:, :-1] for figure in figures]
    return [Predictions(nats, entropy, confidence, right > 0) for nats, entropy, confidence, right in texts]


def _expected(model: Any, hidden_NC: Tensor, targets_N: Tensor) -> Tensor:
    """Nats, entropy, the greatest probability and whether it was right, float32 (4, N), piece by piece."""
    import torch

    limit = LOGITS_AT_ONCE.get(hidden_NC.device.type, LOGITS_AT_ONCE["cpu"])
    pieces, start, rows = [], 0, 64
    while start < len(hidden_NC):
        logp_nV = model.logits(hidden_NC[start : start + rows]).float().log_softmax(dim=-1)
        targets_n = targets_N[start : start + rows]
        most_n, likeliest_n = logp_nV.max(dim=-1)
        nats_n = -logp_nV.gather(1, targets_n[:, None])[:, 0]
        # a logit of minus infinity has no probability, and adds nothing
        entropy_n = -(logp_nV.exp() * logp_nV.clamp(min=-1e4)).sum(dim=-1)
        pieces.append(torch.stack([nats_n, entropy_n, most_n.exp(), (likeliest_n == targets_n).float()]))
        start += rows
        rows = max(64, limit // logp_nV.shape[-1])
    return torch.cat(pieces, dim=1)
