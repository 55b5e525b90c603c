"""How surprised a model is by whole documents, token by token.

In: documents as token ids, without end-of-text. Out: for each, the nats of its text and, apart, those of the closing
end-of-text. A document is scored alone, with end-of-text as its prefix, in windows of the model's context that advance
by half a context: every token is scored exactly once, and every token past the first window sees at least half a
context. Training windows would let a document see its neighbours and would cut it anywhere; a stride of a whole
context would score the tokens after each cut nearly blind.

Windows are batched by length, padded on the right; attention is causal, so padding changes no score. Only scored
positions are projected on the vocabulary, a cache-sized piece at a time. Log-probabilities are computed in float32
and summed in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.errors import DataError
from trainer.scoring.interruption import Each, each_in_turn

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LOGITS_AT_ONCE: Final = {"cpu": 1 << 21, "cuda": 1 << 27}
"""Logits held at once: what a CPU's cache takes (8 MiB in float32), what a GPU's memory does (512 MiB)."""


@dataclass(frozen=True)
class Window:
    """A stretch of a document given to the model at once: inputs `[start, end)` of end-of-text + document."""

    document: int
    start: int
    end: int
    first_scored: int
    """Targets from here on are scored; those before it were, in an earlier window."""

    @property
    def length(self) -> int:
        return self.end - self.start


def windows_of(document: int, tokens: int, context: int) -> Iterator[Window]:
    """The windows of one document of `tokens` tokens: its `tokens + 1` targets are each scored once.

    Position i of end-of-text + document predicts position i + 1; the last target is the closing end-of-text.
    """
    targets = tokens + 1
    stride = max(1, context // 2)
    end = min(context, targets)
    yield Window(document, 0, end, 0)
    while end < targets:
        scored = end
        end = min(end + stride, targets)
        yield Window(document, end - context, end, scored)


def batches_of(tokens: Sequence[int], context: int, batch_tokens: int) -> list[list[Window]]:
    """The windows of documents of so many tokens in batches for the model, the longest first.

    batch_tokens: inputs of one batch, padding included; a single window may have more.
    """
    windows = [window for document, count in enumerate(tokens) for window in windows_of(document, count, context)]
    windows.sort(key=lambda window: (-window.length, window.document, window.start))
    batches, first = [], 0
    while first < len(windows):
        batches.append(windows[first : first + max(1, batch_tokens // windows[first].length)])
        first += len(batches[-1])
    return batches


def score_documents(
    model: Any,
    documents: Sequence[Sequence[int] | np.ndarray],
    *,
    eot_id: int,
    context: int,
    batch_tokens: int = 8192,
    each: Each = each_in_turn,
) -> tuple[np.ndarray, np.ndarray]:
    """Nats of each document's text and of its closing end-of-text, both float64[N].

    Args:
        model: `model.logits(model.hidden(ids_BT))` gives its logits; put into eval mode meanwhile.
        documents: token ids without end-of-text; an empty document has only its closing end-of-text.
        eot_id: the end-of-text token, which begins and ends every document.
        context: tokens the model sees at most.
        batch_tokens: inputs of one forward pass, padding included.
        each: does the work for each forward pass; what it raises ends the scoring.

    Raises:
        DataError: the context is too short to score anything.
    """
    import torch

    if context < 2:
        raise DataError(f"a context of {context} tokens cannot score documents: it must be at least 2")
    sequences = [np.concatenate([[eot_id], np.asarray(ids, dtype=np.int64), [eot_id]]) for ids in documents]
    batches = batches_of([len(ids) - 2 for ids in sequences], context, batch_tokens)
    nats_text = np.zeros(len(sequences), dtype=np.float64)
    nats_eot = np.zeros(len(sequences), dtype=np.float64)
    with evaluating(model) as device, torch.inference_mode():

        def add(batch: list[Window]) -> None:
            scored_N = nats_of_targets(model, *scored_positions(model, sequences, batch, device))
            nats_N = scored_N.cpu().double().numpy()
            at = 0
            for window in batch:
                scored = nats_N[at : at + window.end - window.first_scored]
                at += len(scored)
                if window.end == len(sequences[window.document]) - 1:
                    nats_eot[window.document] = scored[-1]
                    scored = scored[:-1]
                nats_text[window.document] += scored.sum()

        each(batches, add)
    return nats_text, nats_eot


def score_targets(model: Any, hidden_NC: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Nats of each target after its hidden state, float32 (N), and whether it is the likeliest token, bool (N)."""
    import torch

    nats, likeliest = [], []
    for logits_nV, targets_n in _logits(model, hidden_NC, targets_N):
        nats.append(torch.nn.functional.cross_entropy(logits_nV, targets_n, reduction="none"))
        likeliest.append(logits_nV.argmax(dim=-1) == targets_n)
    return torch.cat(nats), torch.cat(likeliest)


def nats_of_targets(model: Any, hidden_NC: Tensor, targets_N: Tensor) -> Tensor:
    """Nats of each target after its hidden state, float32 (N): those of `score_targets`, without a second pass over
    all logits for the likeliest."""
    import torch

    nats = [
        torch.nn.functional.cross_entropy(logits_nV, targets_n, reduction="none")
        for logits_nV, targets_n in _logits(model, hidden_NC, targets_N)
    ]
    return torch.cat(nats)


def _logits(model: Any, hidden_NC: Tensor, targets_N: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits of a few hidden states and their targets, in turn.

    The logits of at most `LOGITS_AT_ONCE` numbers are held at a time, whatever N and the vocabulary.
    """
    rows = 64
    start = 0
    while start < len(hidden_NC):
        logits_nV = model.logits(hidden_NC[start : start + rows]).float()
        yield logits_nV, targets_N[start : start + rows]
        start += rows
        limit = LOGITS_AT_ONCE.get(hidden_NC.device.type, LOGITS_AT_ONCE["cpu"])
        rows = max(64, limit // logits_nV.shape[-1])


class evaluating:  # noqa: N801 (reads as a verb in `with evaluating(model) as device:`)
    """Put a module into eval mode, give the device it lives on, and put its mode back afterwards."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.training = bool(getattr(model, "training", False))

    def __enter__(self) -> torch.device:
        import torch

        if self.training:
            self.model.eval()
        first = next(iter(self.model.parameters()), None)
        return first.device if first is not None else torch.device("cpu")

    def __exit__(self, *exception: object) -> None:
        if self.training:
            self.model.train()


def scored_positions(
    model: Any, sequences: Sequence[np.ndarray], batch: Sequence[Window], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Hidden states before every target of a batch that is scored, window after window (N, C), and the targets (N).

    sequences: token ids of each document between two end-of-text tokens.
    """
    import torch

    longest = batch[0].length
    inputs = np.zeros((len(batch), longest), dtype=np.int64)
    scored = np.zeros((len(batch), longest), dtype=bool)
    for row, window in enumerate(batch):
        inputs[row, : window.length] = sequences[window.document][window.start : window.end]
        scored[row, window.first_scored - window.start : window.length] = True
    targets = np.concatenate([sequences[w.document][w.first_scored + 1 : w.end + 1] for w in batch])
    hidden_BTC = model.hidden(torch.from_numpy(inputs).to(device))
    return hidden_BTC[torch.from_numpy(scored).to(device)], torch.from_numpy(targets).to(device)
