"""The schedule: for every epoch and stage, which documents of each corpus are read, and how often.

In: `ScheduleSettings` and the token stores. Out: `schedule.json`, whose numbers of documents and tokens are exact.

A part (a corpus, or one language of it) is a line on which its documents lie in the order of a hash of their ids; the
line repeats for ever, pass after pass. Epoch after epoch, stage after stage, a schedule takes the next interval of that
line, as many tokens long as the mixture asks for. So a document is not seen again before all others were seen; at a
quarter of a corpus an epoch, four epochs show each document once (independent draws would reach only 68%). Ends of
intervals fall between 65,536 fractions of the line: where each falls is worked out here once, from lengths alone, in
memory that does not grow with the corpus. What an interval misses of its target, the next one makes up for.

An epoch depends on the settings of itself and of the epochs before it, never on those after it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.base.errors import ShardError
from pipeline.base.ids import id64
from pipeline.sharding.beside import read_beside
from pipeline.sharding.keys import FRACTIONS, fractions
from pipeline.sharding.losses.build import take_losses
from pipeline.sharding.orders.order import Order
from pipeline.sharding.orders.table import ORDERS
from pipeline.sharding.schedule.amounts import Part, StageAmounts, epoch_amounts
from pipeline.sharding.schedule.copies import CopiesRow, beside_of, copies_of, write_copies
from pipeline.sharding.schedule.schedule import EpochPlan, PartPlan, Point, Schedule, StagePlan
from pipeline.sharding.settings import MOST_TIMES, ScheduleSettings
from pipeline.tokenization.corpus_tokens.store import TokenStore, open_stores, scan
from trainer.data.shards import PERMUTATION

SCHEDULE_VERSION: Final = "1"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScheduleRow:
    """What a stage takes of a part."""

    epoch: int
    stage: str
    source: str
    """The part's label."""
    documents: int
    tokens: int
    share: float
    """Of the stage's tokens."""
    repeats: float
    from_pass: float
    to_pass: float


@dataclass(frozen=True)
class ScheduleSummary:
    """The schedule in numbers, and a row per epoch, stage and part for a table."""

    content_hash: str
    epochs: int
    documents: int
    tokens: int
    rows: tuple[ScheduleRow, ...]
    copies: tuple[CopiesRow, ...] = ()
    """Of corpora whose clusters of near duplicates say how often a pass reads a document."""


_BEGINNING: Final = Point(0, 0)


@dataclass
class _Line:
    """A part's documents along the line: documents and tokens before each of the 65,537 ends of fractions."""

    documents: np.ndarray
    tokens: np.ndarray
    counts: dict[type[Order], np.ndarray]
    """Documents by the bins of each order that needs a count, int64 [bins]."""
    asked: int = 0
    """Tokens asked for so far."""
    end: Point = _BEGINNING
    """Where the last interval ended."""

    def take(self, part: Part, tokens: int) -> PartPlan:
        """The next interval of about `tokens`, and what it holds."""
        self.asked += tokens
        total = int(self.tokens[-1])
        passes, rest = divmod(self.asked, total)
        after = int(np.searchsorted(self.tokens, rest))
        before = int(np.searchsorted(self.tokens, self.tokens[max(0, after - 1)]))
        nearer = before if rest - self.tokens[before] <= self.tokens[after] - rest else after
        start, end = self.end, Point(passes, nearer)
        if nearer == FRACTIONS or self.tokens[nearer] == total:
            end = Point(passes + 1, 0)
        self.end = max(start, end)
        documents, inside = (_between(sums, start, self.end) for sums in (self.documents, self.tokens))
        return PartPlan(part, start, self.end, documents, inside, tokens, repeats=round(inside / total, 6))


def _between(sums: np.ndarray, start: Point, end: Point) -> int:
    return int((end.passes - start.passes) * sums[-1] + sums[end.fraction] - sums[start.fraction])


def build_schedule(
    settings: ScheduleSettings,
    tokens: Mapping[str, Path],
    out: Path,
    near_duplicates: Path | None = None,
    losses: Path | None = None,
) -> ScheduleSummary:
    """Work out the schedule from the token stores (`tokens`: corpus -> folder) and write `out/schedule.json`, and
    beside it what the shuffle has to know of documents.

    near_duplicates: folder of the clusters, which `repeats_by_cluster` goes by; losses: of the documents' losses, which
    `easy_to_hard` goes by.

    Raises `ShardError` for a corpus that is missing or empty, a stage that comes out empty, or sizes that contradict.
    """
    mixed = {name: tokens[name] for name in tokens if any(name in stage.mixture for stage in settings.stages)}
    copies = write_copies(settings, mixed, near_duplicates, out)
    lost = take_losses(settings, losses, out)
    stores = open_stores(dict(tokens), beside={name: beside_of(out, name) for name in (*copies, *lost)})
    lines: dict[Part, _Line] = {}
    repeated: list[CopiesRow] = []
    for name in sorted(mixed):
        lines |= _lines(stores[name], settings, repeated if name in copies else None)
    available = {part: int(line.tokens[-1]) for part, line in lines.items()} | {
        Part(name, None): 0 for name, store in stores.items() if not store.documents
    }
    epochs = tuple(
        _epoch(settings, epoch, stores, lines, available, copies, lost) for epoch in range(1, settings.epochs + 1)
    )
    schedule = Schedule(epochs)
    schedule.write(out)
    return ScheduleSummary(
        content_hash=schedule.content_hash,
        epochs=settings.epochs,
        documents=sum(epoch.documents for epoch in epochs),
        tokens=sum(epoch.tokens for epoch in epochs),
        rows=tuple(_rows(schedule)),
        copies=tuple(repeated),
    )


def _lines(store: TokenStore, settings: ScheduleSettings, repeated: list[CopiesRow] | None) -> dict[Part, _Line]:
    """Scan a store: documents and tokens per part and fraction, and documents by the bins of the stages' orders, each
    as often as a pass reads it. repeated: takes how many documents that is how often; none where each is read once."""
    balanced = store.corpus in settings.language_temperature
    orders = [order for order in ORDERS.values() if order.bins and order.name in {s.order for s in settings.stages}]
    sums: dict[str | None, np.ndarray] = {}
    counts: dict[str | None, dict[type[Order], np.ndarray]] = {}
    beside = store.files[0].beside if store.files else None
    by_times = np.zeros((2, MOST_TIMES + 1), dtype=np.int64)
    for documents in scan(store):
        ids = id64(documents.ids)
        fraction = fractions(ids, settings.seed, store.corpus)
        copies = np.ones(len(ids), dtype=np.int64)
        if beside is not None and repeated is not None:
            copies = copies_of(beside, ids)
            np.add.at(by_times[0], copies, 1)
            np.add.at(by_times[1], copies, documents.lengths)
        bins = {}
        for order in orders:
            known = read_beside(beside, order.beside, ids, np.nan) if order.beside and beside is not None else None
            bins[order] = order.bins_of(documents._replace(beside=known))
        groups: list[tuple[str | None, Any]] = (
            [(name, documents.langs == i) for i, name in enumerate(documents.lang_names)] if balanced else []
        )
        for name, rows in groups or [(None, slice(None))]:
            total = sums.setdefault(name, np.zeros((2, FRACTIONS), dtype=np.int64))
            np.add.at(total[0], fraction[rows], copies[rows])
            np.add.at(total[1], fraction[rows], copies[rows] * documents.lengths[rows])
            by_order = counts.setdefault(name, {order: np.zeros(order.bins, dtype=np.int64) for order in orders})
            for order in orders:
                counted = bins[order][rows]
                there = counted >= 0
                by_order[order] += np.bincount(
                    counted[there], weights=copies[rows][there], minlength=order.bins
                ).astype(np.int64)
    if repeated is not None:
        repeated += [
            CopiesRow(store.corpus, times, *(int(count) for count in by_times[:, times]))
            for times in np.flatnonzero(by_times[0]).tolist()
        ]
    zero = np.zeros((2, 1), dtype=np.int64)
    cumulated = {name: np.concatenate([zero, total.cumsum(axis=1)], axis=1) for name, total in sums.items()}
    return {Part(store.corpus, name): _Line(total[0], total[1], counts[name]) for name, total in cumulated.items()}


def _epoch(
    settings: ScheduleSettings,
    epoch: int,
    stores: Mapping[str, TokenStore],
    lines: Mapping[Part, _Line],
    available: Mapping[Part, int],
    copies: Mapping[str, str],
    losses: Mapping[str, str],
) -> EpochPlan:
    stages = tuple(
        _stage(epoch, index, amounts, lines) for index, amounts in enumerate(epoch_amounts(settings, epoch, available))
    )
    corpora = sorted({part.corpus for stage in stages for part in stage.parts})
    ordered = {part.corpus for stage in stages for part in stage.parts if stage.order.beside}
    return EpochPlan(
        epoch=epoch,
        seed=settings.seed,
        permutation=PERMUTATION,
        tokenizer=stores[corpora[0]].tokenizer,
        corpora={name: stores[name].content_hash for name in corpora},
        stages=stages,
        copies={name: copies[name] for name in corpora if name in copies},
        losses={name: losses[name] for name in sorted(ordered) if name in losses},
    )


def _stage(epoch: int, index: int, amounts: StageAmounts, lines: Mapping[Part, _Line]) -> StagePlan:
    stage = amounts.stage
    parts = tuple(lines[part].take(part, asked) for part, asked in amounts.tokens.items() if asked)
    for part in parts:
        if not part.documents:
            log.warning("epoch %d, stage %s: no document of %s is short enough", epoch, stage.name, part.corpus)
    tokens = sum(part.tokens for part in parts)
    if not tokens:
        raise ShardError(
            f"schedule: stage {stage.name!r} of epoch {epoch} asks for {sum(part.asked for part in parts)} tokens, "
            "less than half a document; raise its share or tokens"
        )
    order = ORDERS[stage.order]
    counts = np.zeros(order.bins)
    for part in parts if order.bins else ():
        counts += part.repeats * lines[part.part].counts[order]
    documents = sum(part.documents for part in parts)
    return StagePlan(index, stage.name, order.settle(stage, counts), documents, tokens, parts, stage.descending)


def _rows(schedule: Schedule) -> list[ScheduleRow]:
    return [
        ScheduleRow(
            epoch=epoch.epoch,
            stage=stage.name,
            source=part.part.label,
            documents=part.documents,
            tokens=part.tokens,
            share=part.tokens / stage.tokens,
            repeats=part.repeats,
            from_pass=part.start.passes + part.start.fraction / FRACTIONS,
            to_pass=part.end.passes + part.end.fraction / FRACTIONS,
        )
        for epoch in schedule.epochs
        for stage in epoch.stages
        for part in stage.parts
    ]
