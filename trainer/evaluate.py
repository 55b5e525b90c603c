"""How surprised a model is by whole documents, token by token.

In: documents as token ids, without end-of-text. Out: for each, the nats of its text and, apart, those of the closing
end-of-text. A document is scored alone, with end-of-text as its prefix, in windows of the model's context that advance
by half a context: every token is scored exactly once, and every token past the first window sees at least half a
context. Training windows would let a document see its neighbours and would cut it anywhere; a stride of a whole
context would score the tokens after each cut nearly blind.

Windows are batched by length, padded on the right; attention is causal, so padding changes no score. Log-probabilities
are computed in float32 and summed in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.errors import DataError

if TYPE_CHECKING:
    import torch

LOGITS_IN_MEMORY: Final = 1 << 26
"""At most so many logits of one batch (256 MiB in float32), whatever the vocabulary."""


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


def score_documents(
    model: Any,
    documents: Sequence[Sequence[int]],
    *,
    eot_id: int,
    context: int,
    batch_tokens: int = 8192,
) -> tuple[np.ndarray, np.ndarray]:
    """Nats of each document's text and of its closing end-of-text, both float64[N].

    Args:
        model: called as `model(ids_BT) -> logits_BTV`, with ids int64; an `nn.Module` is put into eval mode meanwhile.
        documents: token ids without end-of-text; an empty document has only its closing end-of-text.
        eot_id: the end-of-text token, which begins and ends every document.
        context: tokens the model sees at most.
        batch_tokens: inputs of one forward pass, padding included; fewer where the vocabulary is large.

    Raises:
        DataError: the context is too short to score anything.
    """
    import torch

    if context < 2:
        raise DataError(f"a context of {context} tokens cannot score documents: it must be at least 2")
    sequences = [np.concatenate([[eot_id], np.asarray(ids, dtype=np.int64), [eot_id]]) for ids in documents]
    windows = [w for i, ids in enumerate(sequences) for w in windows_of(i, len(ids) - 2, context)]
    windows.sort(key=lambda w: (-w.length, w.document, w.start))
    nats_text = np.zeros(len(sequences), dtype=np.float64)
    nats_eot = np.zeros(len(sequences), dtype=np.float64)
    with evaluating(model) as device, torch.inference_mode():
        budget = 0  # the first batch is one window, whose logits tell the vocabulary
        first = 0
        while first < len(windows):
            rows = max(1, budget // windows[first].length)
            batch = windows[first : first + rows]
            nats_BT, vocabulary = _nats(model, sequences, batch, device)
            for row, window in zip(nats_BT, batch, strict=True):
                scored = row[window.first_scored - window.start : window.length]
                if window.end == len(sequences[window.document]) - 1:
                    nats_eot[window.document] = scored[-1]
                    scored = scored[:-1]
                nats_text[window.document] += scored.sum()
            first += rows
            budget = min(batch_tokens, LOGITS_IN_MEMORY // vocabulary)
    return nats_text, nats_eot


class evaluating:  # noqa: N801 (reads as a verb in `with evaluating(model) as device:`)
    """Put a module into eval mode, give the device it lives on, and put its mode back afterwards."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.training = bool(getattr(model, "training", False))

    def __enter__(self) -> torch.device:
        import torch

        if self.training:
            self.model.eval()
        parameters = getattr(self.model, "parameters", None)
        first = next(iter(parameters()), None) if parameters is not None else None
        return first.device if first is not None else torch.device("cpu")

    def __exit__(self, *exception: object) -> None:
        if self.training:
            self.model.train()


def _nats(
    model: Any, sequences: Sequence[np.ndarray], batch: Sequence[Window], device: torch.device
) -> tuple[np.ndarray, int]:
    """Nats of every target in the windows, float64[B, T] (padding holds junk), and the vocabulary's size."""
    import torch

    longest = batch[0].length
    inputs = np.zeros((len(batch), longest), dtype=np.int64)
    targets = np.zeros((len(batch), longest), dtype=np.int64)
    for row, window in enumerate(batch):
        ids = sequences[window.document]
        inputs[row, : window.length] = ids[window.start : window.end]
        targets[row, : window.length] = ids[window.start + 1 : window.end + 1]
    ids_BT = torch.from_numpy(inputs).to(device)
    targets_BT = torch.from_numpy(targets).to(device)
    logits_BTV = model(ids_BT)
    vocabulary = logits_BTV.shape[-1]
    nats_N = torch.nn.functional.cross_entropy(
        logits_BTV.float().view(-1, vocabulary), targets_BT.view(-1), reduction="none"
    )
    return nats_N.view(targets_BT.shape).double().cpu().numpy(), vocabulary
