"""Probes for mechanisms: in seconds, whether a model copies, recalls and keeps count of brackets.

In: a model. Out: two scores a probe. `acc` is the share of what was asked for that the model finds likeliest (of a
choice: among the choices). `bits` says it before accuracy moves: for a repeat, how many bits a token of the second time
is cheaper than the same token of the first; for a choice, by how many bits the right one is ahead of the likeliest
wrong one.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from pipeline.base.canonical import text_hash
from pipeline.base.errors import NotPossibleError
from pipeline.base.files import whole_path
from pipeline.base.settings import runtime
from pipeline.evaluation.item_values import ItemValues, item_rows, item_values, ratio_stderr
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.probes import Choice, Repeat, brackets, copying, induction, recall
from pipeline.evaluation.results import Details, Score, SuiteResult, finish
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings

PROBES_VERSION: Final = "1"
ITEMS_FILE: Final = "probes.parquet"
MOST_REPEATED: Final = 64
"""Tokens that induction repeats at most."""


@dataclass(frozen=True)
class ProbesDetails(Details):
    """What was not tried."""

    items_file: ClassVar[str] = ITEMS_FILE
    notes: Sequence[str] = ()

    def remarks(self) -> Iterator[tuple[str, str]]:
        for note in self.notes:
            yield "probes", note

    def values(self, score: Score, items: Mapping[str, list[Any]]) -> ItemValues | None:
        keys, pairs = [], []
        for probe, digest, acc, bits in item_rows(items, "probe", "hash", "acc", "bits"):
            if probe == score.task:
                keys.append((probe, digest))
                pairs.append((acc if score.metric == "acc" else bits, 1.0))
        return item_values(keys, pairs)


class ProbesSuite(SuiteSettings):
    """Induction, copying, recall and brackets on sequences from a seed."""

    version: ClassVar[str] = PROBES_VERSION
    description: ClassVar[str] = "Probes for mechanisms: induction, copying at a distance, recall, brackets."
    details: ClassVar[type[Details]] = ProbesDetails

    kind: Literal["probes"] = "probes"
    items: int = Field(64, gt=1)
    """Sequences of each probe."""
    distances: tuple[int, ...] = (16, 64, 256, 1024)
    """Tokens between a phrase and its copy; those that the context does not hold are left out. On a model with RoPE,
    induction is also tried past the trained context."""
    pairs: tuple[int, ...] = (4, 16)
    """Pairs of a key and a value."""
    depths: tuple[int, ...] = (1, 2, 4)
    """Open brackets."""
    seed: int = Field(1, ge=0)
    batch_tokens: int = runtime(8192, gt=0)

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        return evaluate_probes(scorer, self, out)


Item = Repeat | Choice


def evaluate_probes(scorer: Scorer, suite: ProbesSuite, out: Path) -> SuiteResult:
    """Score every probe; write `probes.parquet` (a row a sequence) and `scores.json`."""
    import numpy as np

    start = time.monotonic()
    probes, notes = _probes(scorer, suite)
    rows: list[dict[str, Any]] = []
    scores = []
    for name, items in probes.items():
        figures = np.array(list(_figures(scorer, items, suite.batch_tokens)))
        for metric, values in zip(("acc", "bits"), figures.T, strict=True):
            error = ratio_stderr(values, np.ones_like(values))
            scores.append(Score(name, metric, float(values.mean()), error, len(items), version=PROBES_VERSION))
        rows += [
            {"probe": name, "hash": text_hash(json.dumps(asdict(item))), "acc": float(acc), "bits": float(bits)}
            for item, (acc, bits) in zip(items, figures, strict=True)
        ]
    _write(rows, out / ITEMS_FILE)
    details = ProbesDetails(notes)
    return finish(*(out, suite.kind, scores, details), seconds=time.monotonic() - start, files=[ITEMS_FILE])


def _probes(scorer: Scorer, suite: ProbesSuite) -> tuple[dict[str, list[Item]], list[str]]:
    """Each probe's sequences by its name, and what was left out."""
    context, made = scorer.context, (scorer.tokenizer.vocab_size, scorer.eot_id)
    config = getattr(scorer.model, "config", None)
    found: dict[str, list[Item]] = {}
    notes = []

    def seed(name: str) -> str:
        return f"{suite.seed}/{name}"

    length = min(MOST_REPEATED, (context - 1) // 2)
    found["induction"] = list(induction(*made, items=suite.items, length=length, seed=seed("induction")))
    if getattr(config, "position", "rope") == "rope" and context < made[0]:
        found["induction 2x"] = list(induction(*made, items=suite.items, length=context, seed=seed("induction 2x")))
    else:
        notes.append("induction past the context: not with learned positions, nor with fewer tokens than the context")
    for distance in suite.distances:
        name = f"copying {distance}"
        try:
            sequences = list(copying(*made, items=suite.items, distance=distance, seed=seed(name)))
        except NotPossibleError as error:
            notes.append(f"{name}: {error}")
            continue
        if len(sequences[0].ids) <= context:
            found[name] = [*sequences]
        else:
            notes.append(f"{name}: longer than the {context:,} tokens of the context")
    for pairs in suite.pairs:
        name = f"recall {pairs}"
        if 2 * pairs + 2 <= context:
            found[name] = list(recall(*made, items=suite.items, pairs=pairs, seed=seed(name)))
        else:
            notes.append(f"{name}: longer than the {context:,} tokens of the context")
    for depth in suite.depths:
        name = f"brackets {depth}"
        items = list(brackets(scorer.tokenizer.encode, scorer.eot_id, items=suite.items, depth=depth, seed=seed(name)))
        if max(len(item.prompt) + 1 for item in items) <= context:
            found[name] = [*items]
        else:
            notes.append(f"{name}: longer than the {context:,} tokens of the context")
    return found, notes


@dataclass(frozen=True)
class _Asked:
    """Tokens given to the model at once, and what is asked for after some of them."""

    ids: tuple[int, ...]
    places: tuple[int, ...]
    targets: tuple[int, ...]


def _asked(item: Item) -> list[_Asked]:
    if isinstance(item, Repeat):
        places = [start - 1 + step for start in (item.first, item.again) for step in range(item.length)]
        return [_Asked(item.ids[:-1], tuple(places), tuple(item.ids[place + 1] for place in places))]
    last = len(item.prompt) - 1
    if all(len(choice) == 1 for choice in item.choices):  # one pass answers for all
        return [_Asked(item.prompt, (last,) * len(item.choices), tuple(choice[0] for choice in item.choices))]
    return [
        _Asked(item.prompt + choice[:-1], tuple(range(last, last + len(choice))), choice) for choice in item.choices
    ]


def _figures(scorer: Scorer, items: Sequence[Item], batch_tokens: int) -> Iterator[tuple[float, float]]:
    """Each sequence's (acc, bits)."""
    asked = [_asked(item) for item in items]
    scored = iter(_score(scorer.model, [row for rows in asked for row in rows], batch_tokens))
    for item, rows in zip(items, asked, strict=True):
        answers = [next(scored) for _ in rows]
        if isinstance(item, Repeat):
            ((nats, likeliest),) = answers
            gain = float(nats[: item.length].mean() - nats[item.length :].mean()) / math.log(2)
            yield float(likeliest[item.length :].mean()), gain
        else:
            nats = [float(value) for value in answers[0][0]] if len(rows) == 1 else [float(a.sum()) for a, _ in answers]
            right = nats[item.right]
            wrong = min(value for place, value in enumerate(nats) if place != item.right)
            yield float(right < wrong), (wrong - right) / math.log(2)


def _score(model: Any, rows: Sequence[_Asked], batch_tokens: int) -> list[tuple[Any, Any]]:
    """Nats of each row's targets, float64, and whether each was the likeliest token, bool."""
    import torch

    from trainer.scoring.documents import evaluating, score_targets

    order = sorted(range(len(rows)), key=lambda number: -len(rows[number].ids))
    answers: list[tuple[Any, Any]] = [(None, None)] * len(rows)
    done = 0
    with evaluating(model) as device, torch.inference_mode():
        while done < len(order):
            longest = len(rows[order[done]].ids)
            numbers = order[done : done + max(1, batch_tokens // longest)]
            batch = [rows[number] for number in numbers]
            ids_BT = torch.zeros(len(batch), longest, dtype=torch.int64)
            for place, row in enumerate(batch):
                ids_BT[place, : len(row.ids)] = torch.tensor(row.ids)
            at = [(number, place) for number, row in enumerate(batch) for place in row.places]
            rows_N, places_N = torch.tensor(at, device=device).T
            targets_N = torch.tensor([target for row in batch for target in row.targets], device=device)
            hidden_NC = model.hidden(ids_BT.to(device))[rows_N, places_N]
            nats_N, likeliest_N = score_targets(model, hidden_NC, targets_N)
            lengths = [len(row.targets) for row in batch]
            parts = zip(nats_N.cpu().double().split(lengths), likeliest_N.cpu().double().split(lengths), strict=True)
            for number, (nats, likeliest) in zip(numbers, parts, strict=True):
                answers[number] = nats.numpy(), likeliest.numpy()
            done += len(batch)
    return answers


def _write(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with whole_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(list(rows)), temporary, compression="zstd")
