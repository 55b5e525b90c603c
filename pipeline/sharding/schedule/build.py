"""The schedule: for every epoch and stage, which documents of each corpus are read, and how often.

In: `ScheduleSettings` and the token stores. Out: `schedule.json`, whose numbers of documents and tokens are exact.

A part (a corpus, or one language of it) is a line on which its documents lie in the order of a hash of their ids; the
line repeats for ever, pass after pass. Epoch after epoch, stage after stage, a schedule takes the next interval of that
line, as many tokens long as the mixture asks for. So a document is not seen again before all others were seen; at a
quarter of a corpus an epoch, four epochs show each document once (independent draws would reach only 68%). Ends of
intervals fall between 65,536 fractions of the line: where each falls is worked out here once, from lengths alone, in
memory that does not grow with the corpus. What an interval misses of its target, the next one makes up for.

An epoch depends on the settings of itself and of the epochs before it. `epoch_slice` is what an epoch's fingerprint
takes: with one epoch more, the slices of the others stay the same to the byte.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.base import files
from pipeline.base.canonical import canonical_hash, canonical_json
from pipeline.base.errors import ShardError
from pipeline.base.ids import id64
from pipeline.sharding.keys import FRACTIONS, fractions
from pipeline.sharding.schedule.amounts import Part, epoch_amounts
from pipeline.sharding.settings import ScheduleSettings, StageSettings
from pipeline.tokenization.corpus_tokens.store import TokenStore, open_stores, scan
from trainer.data.shards import PERMUTATION

SCHEDULE_VERSION: Final = "1"
SCHEDULE_NAME: Final = "schedule.json"
FORMAT: Final = "squeeze-schedule"
GRADE_MIN: Final = -5.0
GRADE_STEP: Final = 0.02
GRADE_BINS: Final = 2048
"""Reading grades are counted from -5 to 36; what lies outside counts at the ends."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScheduleSummary:
    """The schedule in numbers, and a row per epoch, stage and part for a table."""

    content_hash: str
    epochs: int
    documents: int
    tokens: int
    rows: tuple[dict[str, Any], ...]


@dataclass
class _Line:
    """A part's documents along the line: documents and tokens before each of the 65,537 ends of fractions."""

    documents: np.ndarray
    tokens: np.ndarray
    grades: np.ndarray
    """Documents by reading grade, in steps of `GRADE_STEP` from `GRADE_MIN`."""
    asked: int = 0
    """Tokens asked for so far."""
    end: tuple[int, int] = (0, 0)
    """(pass, fraction) where the last interval ended."""

    def take(self, tokens: int) -> dict[str, Any]:
        """The next interval of about `tokens`: from and to as [pass, fraction], and what it holds."""
        self.asked += tokens
        total = int(self.tokens[-1])
        passes, rest = divmod(self.asked, total)
        after = int(np.searchsorted(self.tokens, rest))
        before = int(np.searchsorted(self.tokens, self.tokens[max(0, after - 1)]))
        nearer = before if rest - self.tokens[before] <= self.tokens[after] - rest else after
        start, end = self.end, (passes, nearer)
        if nearer == FRACTIONS or self.tokens[nearer] == total:
            end = (passes + 1, 0)
        self.end = max(start, end)
        return {
            "from": list(start),
            "to": list(self.end),
            "documents": self._between(self.documents, start),
            "tokens": self._between(self.tokens, start),
        }

    def _between(self, sums: np.ndarray, start: tuple[int, int]) -> int:
        passes = self.end[0] - start[0]
        return int(passes * sums[-1] + sums[self.end[1]] - sums[start[1]])


def build_schedule(settings: ScheduleSettings, tokens: Mapping[str, Path], out: Path) -> ScheduleSummary:
    """Work out the schedule from the token stores (`tokens`: corpus -> folder) and write `out/schedule.json`.

    Raises `ShardError` for a corpus that is missing or empty, a stage that comes out empty, or sizes that contradict.
    """
    stores = open_stores(dict(tokens))
    lines: dict[Part, _Line] = {}
    for name in sorted({source for stage in settings.stages for source in stage.mixture} & set(stores)):
        lines |= _lines(stores[name], settings)
    available = {part: int(line.tokens[-1]) for part, line in lines.items()} | {
        Part(name, None): 0 for name, store in stores.items() if not store.documents
    }
    epochs = [_epoch(settings, epoch, stores, lines, available) for epoch in range(1, settings.epochs + 1)]
    data: dict[str, Any] = {"format": FORMAT, "version": 1, "epochs": epochs}
    data["content_hash"] = canonical_hash(data)
    files.write_json(out / SCHEDULE_NAME, data)
    rows = tuple(schedule_rows(data))
    stages = [stage for epoch in epochs for stage in epoch["stages"]]
    return ScheduleSummary(
        content_hash=data["content_hash"],
        epochs=settings.epochs,
        documents=sum(stage["documents"] for stage in stages),
        tokens=sum(stage["tokens"] for stage in stages),
        rows=rows,
    )


def _lines(store: TokenStore, settings: ScheduleSettings) -> dict[Part, _Line]:
    """Scan a store: documents and tokens per part and fraction."""
    balanced = store.corpus in settings.language_temperature
    sums: dict[str | None, np.ndarray] = {}
    grades: dict[str | None, np.ndarray] = {}
    for documents in scan(store):
        where = fractions(id64(documents.ids), settings.seed, store.corpus)
        groups: list[tuple[str | None, Any]] = (
            [(name, documents.langs == i) for i, name in enumerate(documents.lang_names)] if balanced else []
        )
        for name, rows in groups or [(None, slice(None))]:
            total = sums.setdefault(name, np.zeros((2, FRACTIONS), dtype=np.int64))
            np.add.at(total[0], where[rows], 1)
            np.add.at(total[1], where[rows], documents.lengths[rows])
            grades.setdefault(name, np.zeros(GRADE_BINS, dtype=np.int64))
            known = documents.grades[rows][~np.isnan(documents.grades[rows])]
            np.add.at(grades[name], np.clip((known - GRADE_MIN) // GRADE_STEP, 0, GRADE_BINS - 1).astype(int), 1)
    zero = np.zeros((2, 1), dtype=np.int64)
    cumulated = {name: np.concatenate([zero, total.cumsum(axis=1)], axis=1) for name, total in sums.items()}
    return {Part(store.corpus, name): _Line(total[0], total[1], grades[name]) for name, total in cumulated.items()}


def _epoch(
    settings: ScheduleSettings,
    epoch: int,
    stores: Mapping[str, TokenStore],
    lines: Mapping[Part, _Line],
    available: Mapping[Part, int],
) -> dict[str, Any]:
    stages = []
    for index, amounts in enumerate(epoch_amounts(settings, epoch, available)):
        stage = amounts.stage
        parts = [
            {"source": part.source, "lang": part.lang, **lines[part].take(asked), "asked": asked}
            for part, asked in amounts.tokens.items()
            if asked
        ]
        for part in parts:
            part["repeats"] = round(part["tokens"] / available[Part(part["source"], part["lang"])], 6)
            if not part["documents"]:
                log.warning("epoch %d, stage %s: no document of %s is short enough", epoch, stage.name, part["source"])
        tokens = sum(part["tokens"] for part in parts)
        if not tokens:
            raise ShardError(
                f"schedule: stage {stage.name!r} of epoch {epoch} asks for {sum(p['asked'] for p in parts)} tokens, "
                "less than half a document; raise its share or tokens"
            )
        order: dict[str, Any] = {"order": stage.order}
        if stage.order == "simple_to_hard":
            order["grade_edges"] = _grade_edges(stage, parts, lines)
        documents = sum(part["documents"] for part in parts)
        stages.append(
            {"index": index, "name": stage.name, **order, "documents": documents, "tokens": tokens, "parts": parts}
        )
    used = sorted({part["source"] for stage in stages for part in stage["parts"]})
    return {
        "epoch": epoch,
        "seed": settings.seed,
        "permutation": PERMUTATION,
        "tokenizer": asdict(stores[used[0]].tokenizer),
        "sources": {name: stores[name].content_hash for name in used},
        "stages": stages,
    }


def _grade_edges(stage: StageSettings, parts: list[dict[str, Any]], lines: Mapping[Part, _Line]) -> list[float]:
    """Grades that divide the stage's graded documents into `grade_steps` steps of about the same number."""
    counts = sum(part["repeats"] * lines[Part(part["source"], part["lang"])].grades for part in parts)
    sums = np.cumsum(counts)
    if not sums[-1]:
        raise ShardError(
            f"schedule: stage {stage.name!r} goes from simple to hard, but none of its documents has a reading grade "
            "(English documents do); set its order to shuffled"
        )
    wanted = sums[-1] * np.arange(1, stage.grade_steps) / stage.grade_steps
    return [round(GRADE_MIN + GRADE_STEP * (int(i) + 1), 2) for i in np.searchsorted(sums, wanted)]


def read_schedule(path: Path) -> dict[str, Any]:
    """Read `schedule.json` (or the folder that holds it). Raises `ShardError` where it is not one, or was edited."""
    path = path / SCHEDULE_NAME if path.is_dir() else path
    try:
        data = json.loads(path.read_bytes())
        known = data.get("format") == FORMAT and data.get("version") == 1
        intact = known and data.pop("content_hash") == canonical_hash(data)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ShardError(f"{path}: cannot be read as a schedule ({error!r}); materialize the schedule again") from None
    if not intact:
        raise ShardError(f"{path}: not a schedule of this version, or edited by hand; materialize the schedule again")
    return data


def epoch_slice(schedule: Mapping[str, Any], epoch: int) -> dict[str, Any]:
    """One epoch's own part of a schedule: all that its shards depend on, the stores' content hashes included."""
    for data in schedule["epochs"]:
        if data["epoch"] == epoch:
            return data
    raise ShardError(
        f"schedule: epoch {epoch} is not among its {len(schedule['epochs'])} epochs; raise schedule.epochs"
    )


def slice_json(schedule: Mapping[str, Any], epoch: int) -> str:
    """`epoch_slice` as canonical JSON: what enters the fingerprint of that epoch's shards."""
    return canonical_json(epoch_slice(schedule, epoch))


def schedule_rows(schedule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per epoch, stage and part: documents, tokens, share of the stage, repeats and the interval in passes."""
    rows = []
    for epoch in schedule["epochs"]:
        for stage in epoch["stages"]:
            for part in stage["parts"]:
                start, end = (passes + fraction / FRACTIONS for passes, fraction in (part["from"], part["to"]))
                rows.append(
                    {
                        "epoch": epoch["epoch"],
                        "stage": stage["name"],
                        "source": Part(part["source"], part["lang"]).label,
                        "documents": part["documents"],
                        "tokens": part["tokens"],
                        "share": part["tokens"] / stage["tokens"],
                        "repeats": part["repeats"],
                        "from_pass": start,
                        "to_pass": end,
                    }
                )
    return rows
