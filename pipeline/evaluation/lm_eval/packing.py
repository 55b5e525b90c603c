"""Several continuations of one prompt side by side in one row, so that the prompt is computed once.

In: lm-eval's requests as token ids. Out: their log-likelihoods. A row is the prompt followed by every continuation
without its last token. A continuation's tokens look at the prompt and at themselves, and take the positions they would
have alone, so each score is what a row of its own would give. A multiple-choice question with four answers costs one
pass over its prompt instead of four; answers of one token cost nothing beyond the prompt.

    prompt        p0 p1 p2
    continuations a0 a1 a2, b0 b1
    row           p0 p1 p2 a0 a1 b0
    positions      0  1  2  3  4  3
    segments       0  0  0  1  1  2     a token sees segment 0 and its own, never ahead
    targets             a0 a1 a2 b1     and b0 from p2 as well

A prompt of a single token is repeated instead, and no row has more of continuations than the model sees: what a task
without prompts asks for, such as every sentence of BLiMP, would be one row otherwise, whose attention no memory holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import EvaluationError
from trainer.scoring.documents import score_targets

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Request = tuple[tuple[str, str] | None, list[int], list[int]]
"""lm-eval's own shape: the two texts (none inside rolling windows), context ids, continuation ids."""


@dataclass
class Row:
    """One prompt and the continuations that are scored after it."""

    prompt: tuple[int, ...]
    continuations: dict[tuple[int, ...], list[int]] = field(default_factory=dict)
    """Each different continuation and the numbers of the requests that ask for it."""

    @property
    def length(self) -> int:
        """Tokens of the row."""
        return len(self.prompt) + sum(len(ids) - 1 for ids in self.continuations)


def in_windows(request: Request, context: int) -> list[Request]:
    """The request, or, where its continuation alone is longer than the model sees, windows that score each of its
    tokens once: lm-eval's own rolling windows, after the prompt's last token.

    lm-eval's `hf` backend stops with an assertion there. Scoring a part of the tokens would favour the longer choice.
    """
    texts, prompt, continuation = request
    if len(continuation) <= context:
        return [request]
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    pairs = get_rolling_token_windows(
        token_list=continuation, prefix_token=prompt[-1], max_seq_len=context, context_len=1
    )
    return [(texts, *make_disjoint_window(pair)) for pair in pairs]


def pack(requests: Sequence[Request], context: int) -> list[Row]:
    """Rows for all requests, longest first.

    What is longer than the model sees is truncated on the left, as lm-eval's own backends do: the last `context + 1`
    tokens of prompt and continuation stay, and the last of them is only a target.

    Raises:
        EvaluationError: a continuation has no tokens, or more than the model sees (`in_windows` splits those).
    """
    rows: list[Row] = []
    open_rows: dict[tuple[int, ...], Row] = {}
    places: dict[tuple[tuple[int, ...], tuple[int, ...]], Row] = {}
    for number, (_, prompt, continuation) in enumerate(requests):
        if not continuation:
            raise EvaluationError(
                f"request {number} ({_shown(requests[number])}) has a continuation without tokens of its own, which "
                "cannot be scored"
            )
        if len(continuation) > context:
            raise EvaluationError(
                f"request {number} ({_shown(requests[number])}) has a continuation of {len(continuation):,} tokens, "
                f"more than the {context:,} the model sees: split it into windows"
            )
        seen = tuple(prompt[-(context + 1 - len(continuation)) :])
        asked = (seen, tuple(continuation))
        row = places.get(asked) or open_rows.get(seen)
        if row is None or (asked not in places and not _has_room(row, len(continuation), context)):
            row = open_rows[seen] = Row(seen)
            rows.append(row)
        places[asked] = row
        row.continuations.setdefault(asked[1], []).append(number)
    return sorted(rows, key=lambda row: (-row.length, row.prompt))


def _has_room(row: Row, tokens: int, context: int) -> bool:
    """Whether another continuation of so many tokens is best put beside a row's others."""
    return len(row.prompt) > 1 and row.length - len(row.prompt) + tokens - 1 <= context


def score_rows(model: Any, rows: Sequence[Row], device: torch.device, answers: list[tuple[float, bool]]) -> None:
    """Score a batch of rows; put (log-likelihood in nats, greedy decoding gives it) at its requests' places."""
    import torch

    longest = max(row.length for row in rows)
    ids_BT = torch.zeros(len(rows), longest, dtype=torch.int64)
    positions_BT = torch.zeros_like(ids_BT)
    segments_BT = torch.zeros_like(ids_BT)
    places: list[tuple[int, int]] = []  # (row, position) of the hidden state before each target
    targets: list[int] = []
    for number, row in enumerate(rows):
        at = len(row.prompt)
        ids_BT[number, :at] = torch.tensor(row.prompt)
        positions_BT[number, :at] = torch.arange(at)
        for segment, continuation in enumerate(row.continuations, start=1):
            end = at + len(continuation) - 1
            ids_BT[number, at:end] = torch.tensor(continuation[:-1], dtype=torch.int64)
            positions_BT[number, at:end] = torch.arange(end - at) + len(row.prompt)
            segments_BT[number, at:end] = segment
            places += [(number, len(row.prompt) - 1), *((number, i) for i in range(at, end))]
            targets += continuation
            at = end
    if int(segments_BT.max()) > 1:
        hidden_BTC = model.hidden(
            ids_BT.to(device), positions_BT=positions_BT.to(device), mask=segment_mask(segments_BT.to(device))
        )
    else:  # nothing side by side: plain causal attention, which has faster kernels
        hidden_BTC = model.hidden(ids_BT.to(device))
    rows_N, positions_N = torch.tensor(places, device=device).T
    nats_N, likeliest_N = score_targets(model, hidden_BTC[rows_N, positions_N], torch.tensor(targets, device=device))
    start = 0
    for row in rows:
        for continuation, numbers in row.continuations.items():
            end = start + len(continuation)
            answer = (-float(nats_N[start:end].sum()), bool(likeliest_N[start:end].all()))
            for number in numbers:
                answers[number] = answer
            start = end


def segment_mask(segments_BT: Tensor) -> Tensor:
    """True where a token may look: not ahead, at segment 0 or its own; bool (B, 1, T, T)."""
    same_BTT = segments_BT[:, :, None] == segments_BT[:, None, :]
    return (same_BTT | (segments_BT == 0)[:, None, :]).tril()[:, None]


def _shown(request: Request) -> str:
    texts = request[0]
    return repr(texts[1][:60]) if texts is not None else "a rolling window"
