"""Multiple-choice questions scored while a run goes on: which of a few continuations does the model find likeliest?

In: a JSON file of items as token ids, which whoever holds the texts and the tokenizer writes (`write_choices`); so the
trainer needs neither lm-eval nor the pipeline. Out: `acc`, where the likeliest choice is the answer, and `acc_norm`,
where each choice's log-likelihood is first divided by its length in characters, which is lm-eval's definition of both;
and what a model says that cannot choose yet: the answer's bits per byte, and the margin of the likeliest wrong choice
over them.

    {"schema": 2, "name": "hellaswag", "tokenizer": "<content hash of the shards' tokenizer>",
     "items": [{"prompt": [17, 4], "choices": [[5, 6], [7]], "lengths": [11, 6], "bytes": [12, 7], "answer": 1}]}

What is longer than the context loses the beginning of its prompt, as in lm-eval: the last context + 1 tokens count,
and the last of them is only a target. Items are shared among the ranks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.dataclasses import dataclass

from trainer.config import ChoiceData
from trainer.data.shards import TokenizerRef
from trainer.errors import DataError
from trainer.files import write_text
from trainer.process.ranks import Ranks
from trainer.records import parse_json
from trainer.scoring.documents import evaluating, nats_of_targets
from trainer.scoring.evaluation import ChoiceScore
from trainer.scoring.interruption import Each, each_in_turn
from trainer.settings import STRICT_KEYS, from_mapping

if TYPE_CHECKING:
    from trainer.model import GPT

SCHEMA = 2
BATCH_TOKENS = 8192


@dataclass(frozen=True, config=STRICT_KEYS)
class ChoiceItem:
    """One question."""

    prompt: tuple[int, ...]
    """Token ids; never empty (an empty prompt is the end-of-text token)."""
    choices: tuple[tuple[int, ...], ...]
    """The continuations' token ids, each at least one."""
    lengths: tuple[int, ...]
    """Each choice's length in characters, which `acc_norm` divides by."""
    bytes: tuple[int, ...]
    """UTF-8 bytes of each choice as it is scored, with what stands between prompt and choice."""
    answer: int
    """Which choice is right."""

    def __post_init__(self) -> None:
        if not self.prompt or len(self.choices) < 2 or not all(self.choices):
            raise ValueError("an item needs a prompt and at least two choices, none of them empty")
        for name, given in (("lengths", self.lengths), ("bytes", self.bytes)):
            if len(given) != len(self.choices) or min(given) < 1:
                raise ValueError(f"{len(self.choices)} choices need as many {name} above 0, found {list(given)}")
        if not 0 <= self.answer < len(self.choices):
            raise ValueError(f"answer is {self.answer}, but there are {len(self.choices)} choices, counted from 0")


@dataclass(frozen=True)
class ChoiceSet:
    """The items of one task."""

    name: str
    items: tuple[ChoiceItem, ...]

    def first_items(self, most: int | None) -> ChoiceSet:
        """The first `most` items; none: all."""
        return ChoiceSet(self.name, self.items[:most])


def write_choices(path: Path, name: str, items: Sequence[ChoiceItem], tokenizer: str) -> None:
    """Write the file that `read_choices` reads; `tokenizer` is the content hash of the tokenizer the ids come from."""
    data = {"schema": SCHEMA, "name": name, "tokenizer": tokenizer, "items": [asdict(item) for item in items]}
    write_text(path, json.dumps(data))


def read_choices(sets: Sequence[ChoiceData], tokenizer: TokenizerRef, context: int) -> list[ChoiceSet]:
    """Read the items a run scores.

    Raises `DataError` naming the file for one that is missing or damaged, without items, made with another tokenizer,
    or with a choice longer than the context.
    """
    return [ChoiceSet(item.name, _read(Path(item.path), tokenizer, context)) for item in sets]


def _read(path: Path, tokenizer: TokenizerRef, context: int) -> tuple[ChoiceItem, ...]:
    try:
        data = parse_json(path.read_bytes())
        if data["schema"] != SCHEMA:
            raise DataError(f"{path}: choices of schema {data['schema']!r}, this trainer reads {SCHEMA}; write it anew")
        made_with = data["tokenizer"]
        items = from_mapping(tuple[ChoiceItem, ...], data["items"], "items")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); data.choices names its path") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a file of multiple-choice items: {error}; write it anew") from None
    if made_with != tokenizer.content_hash:
        raise DataError(
            f"{path}: made with tokenizer {str(made_with)[:12]}, the shards with {tokenizer.content_hash[:12]}; "
            "encode the items with the shards' tokenizer"
        )
    if not items:
        raise DataError(f"{path}: holds no items; leave it out of data.choices")
    longest = max(len(choice) for item in items for choice in item.choices)
    if longest > context:
        raise DataError(f"{path}: a choice has {longest} tokens, the model sees {context}; leave such items out")
    tokens = {token for item in items for part in (item.prompt, *item.choices) for token in part}
    outside = next((token for token in (min(tokens), max(tokens)) if not 0 <= token < tokenizer.vocab_size), None)
    if outside is not None:
        raise DataError(f"{path}: token {outside} is outside the tokenizer's {tokenizer.vocab_size}; write it anew")
    return items


def score_choices(
    model: GPT, sets: Sequence[ChoiceSet], *, context: int, ranks: Ranks, each: Each = each_in_turn
) -> dict[str, ChoiceScore]:
    """Each task's score by its name, equal on every rank. `each` as for `score_documents`."""
    results = {}
    for task in sets:
        share = task.items[ranks.rank :: ranks.world_size]
        nats = iter(choice_nats(model, share, context=context, each=each))
        totals = [0.0] * 6
        for item in share:
            figures = _figures(item, [next(nats) for _ in item.choices])
            squares = [figure * figure for figure in figures[2:]]  # shares of right answers have their own error
            totals = [total + figure for total, figure in zip(totals, (*figures, *squares), strict=True)]
        count = len(task.items)
        acc, acc_norm, bits, margin, *squares = (total / count for total in ranks.sum(totals))
        results[task.name] = ChoiceScore(
            acc=acc,
            acc_stderr=_standard_error(acc * (1 - acc), count),
            acc_norm=acc_norm,
            acc_norm_stderr=_standard_error(acc_norm * (1 - acc_norm), count),
            items=count,
            answer_bits_per_byte=bits,
            answer_bits_per_byte_stderr=_standard_error(squares[0] - bits * bits, count),
            answer_margin=margin,
            answer_margin_stderr=_standard_error(squares[1] - margin * margin, count),
        )
    return results


def _figures(item: ChoiceItem, nats: Sequence[float]) -> tuple[float, float, float, float]:
    """Right or not, the same by length, bits per byte of the answer, and the margin over it, from a choice's nats."""
    by_length = [score / length for score, length in zip(nats, item.lengths, strict=True)]
    bits = [score / math.log(2) / size for score, size in zip(nats, item.bytes, strict=True)]
    wrong = min(value for place, value in enumerate(bits) if place != item.answer)
    right = nats.index(min(nats)) == item.answer
    return right, by_length.index(min(by_length)) == item.answer, bits[item.answer], wrong - bits[item.answer]


def _standard_error(variance: float, count: int) -> float:
    """Of a mean over `count` items with a variance over them."""
    return math.sqrt(max(variance, 0.0) / max(count - 1, 1))


def choice_nats(
    model: Any,
    items: Sequence[ChoiceItem],
    *,
    context: int,
    batch_tokens: int = BATCH_TOKENS,
    each: Each = each_in_turn,
) -> list[float]:
    """Nats of every choice of every item after its prompt, in order. `model` and `each` as for `score_documents`."""
    import torch

    rows = [(item.prompt, choice) for item in items for choice in item.choices]
    order = sorted(range(len(rows)), key=lambda number: -(len(rows[number][0]) + len(rows[number][1])))
    answers = [0.0] * len(rows)
    batches, first = [], 0
    while first < len(order):
        longest = min(sum(map(len, rows[order[first]])) - 1, context)
        batches.append(order[first : first + max(1, batch_tokens // longest)])
        first += len(batches[-1])
    with evaluating(model) as device, torch.inference_mode():

        def answer(batch: list[int]) -> None:
            longest = min(sum(map(len, rows[batch[0]])) - 1, context)
            ids_BT = torch.zeros(len(batch), longest, dtype=torch.int64)
            scored_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
            for row, number in enumerate(batch):
                prompt, choice = rows[number]
                seen = (*prompt, *choice)[-(context + 1) : -1]
                ids_BT[row, : len(seen)] = torch.tensor(seen)
                scored_BT[row, len(seen) - len(choice) : len(seen)] = True
            targets_N = torch.tensor([token for number in batch for token in rows[number][1]], device=device)
            hidden_NC = model.hidden(ids_BT.to(device))[scored_BT.to(device)]
            nats_N = nats_of_targets(model, hidden_NC, targets_N)
            lengths = [len(rows[number][1]) for number in batch]
            for number, part in zip(batch, nats_N.cpu().double().split(lengths), strict=True):
                answers[number] = float(part.sum())

        each(batches, answer)
    return answers
