"""`schedule.json` as types: what every epoch, stage and part reads. The one place that writes and reads the file.

In: the plans that `pipeline.sharding.schedule.build` works out. Out: a file whose numbers of documents and tokens are
exact, and the same plans read back. The file calls a corpus `source`: its bytes are hashed, so its keys stay.

An epoch's shards depend on that epoch's plan alone, the content of its token stores included, and the plan's hash is
what enters their fingerprint: with one epoch more, the plans of the others stay the same to the byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline.base import files
from pipeline.base.canonical import canonical_hash
from pipeline.base.errors import ShardError
from pipeline.sharding.orders.order import Order
from pipeline.sharding.orders.table import ORDERS
from pipeline.sharding.schedule.amounts import Part
from trainer.data.shards import DTYPE_BYTES, TokenizerRef
from trainer.records import check, read_json, reason

SCHEDULE_NAME: Final = "schedule.json"
FORMAT: Final = {"format": "squeeze-schedule", "version": 1}


class Point(NamedTuple):
    """A point on a part's line, on which its documents lie in the order of a hash, pass after pass."""

    passes: int
    """Whole passes before it."""
    fraction: int
    """Fractions of the pass before it, of 65,536."""


@dataclass(frozen=True)
class PartPlan:
    """The interval of a part's line that a stage takes."""

    part: Part
    start: Point
    end: Point
    documents: int
    tokens: int
    asked: int
    """Tokens that the mixture asks for."""
    repeats: float
    """Passes over the part."""

    @property
    def corpus(self) -> str:
        return self.part.corpus

    def to_json(self) -> dict[str, Any]:
        part = {"source": self.part.corpus, "lang": self.part.lang, "from": list(self.start), "to": list(self.end)}
        counts = {"documents": self.documents, "tokens": self.tokens, "asked": self.asked, "repeats": self.repeats}
        return part | counts

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PartPlan:
        named = {"start": data["from"], "end": data["to"], "part": {"corpus": data["source"], "lang": data["lang"]}}
        return check(cls, {**data, **named})


@dataclass(frozen=True)
class StagePlan:
    """A stage of an epoch: its parts, and the order in which their documents are read."""

    index: int
    name: str
    order: Order
    documents: int
    tokens: int
    parts: tuple[PartPlan, ...]
    descending: bool = False
    """Whether the order goes the other way."""

    def parts_of(self, corpus: str) -> list[PartPlan]:
        """The parts that are the corpus or a language of it."""
        return [part for part in self.parts if part.corpus == corpus]

    @property
    def tokens_by_corpus(self) -> dict[str, int]:
        """Tokens scheduled, sorted by corpus."""
        corpora = sorted({part.corpus for part in self.parts})
        return {corpus: sum(part.tokens for part in self.parts_of(corpus)) for corpus in corpora}

    def to_json(self) -> dict[str, Any]:
        head = {"index": self.index, "name": self.name} | self.order.to_json()
        head |= {"descending": True} if self.descending else {}
        parts = [part.to_json() for part in self.parts]
        return head | {"documents": self.documents, "tokens": self.tokens, "parts": parts}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> StagePlan:
        order = check(ORDERS[data["order"]], data)
        parts = tuple(PartPlan.from_json(part) for part in data["parts"])
        head = check(tuple[int, str], (data["index"], data["name"]))
        descending = check(bool, data.get("descending", False))
        return cls(*head, order, *check(tuple[int, int], (data["documents"], data["tokens"])), parts, descending)


@dataclass(frozen=True)
class EpochPlan:
    """One epoch: all that its shards depend on."""

    epoch: int
    """From 1."""
    seed: int
    permutation: str
    tokenizer: TokenizerRef
    corpora: Mapping[str, str]
    """Content hashes of the token stores it reads, sorted by corpus."""
    stages: tuple[StagePlan, ...]
    copies: Mapping[str, str] = field(default_factory=dict)
    """Hashes of how often a pass reads documents, of the corpora that repeat some, sorted by corpus."""
    losses: Mapping[str, str] = field(default_factory=dict)
    """Hashes of the documents' losses, of the corpora that an order puts by them, sorted by corpus."""

    @property
    def documents(self) -> int:
        return sum(stage.documents for stage in self.stages)

    @property
    def tokens(self) -> int:
        return sum(stage.tokens for stage in self.stages)

    @property
    def itemsize(self) -> int:
        """Bytes of a token."""
        return DTYPE_BYTES[self.tokenizer.dtype]

    def source_id(self, corpus: str) -> int:
        """The corpus's number in the shards."""
        return list(self.corpora).index(corpus)

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of the plan as canonical JSON: what enters the fingerprint of the epoch's shards."""
        return canonical_hash(self.to_json())

    def to_json(self) -> dict[str, Any]:
        head = {"epoch": self.epoch, "seed": self.seed, "permutation": self.permutation}
        read = {"tokenizer": asdict(self.tokenizer), "sources": dict(self.corpora)}
        beside = {name: dict(of) for name, of in (("copies", self.copies), ("losses", self.losses)) if of}
        return head | read | beside | {"stages": [stage.to_json() for stage in self.stages]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EpochPlan:
        stages = tuple(StagePlan.from_json(stage) for stage in data["stages"])
        head = check(
            tuple[int, int, str, TokenizerRef], [data[key] for key in ("epoch", "seed", "permutation", "tokenizer")]
        )
        copies, losses = (
            dict(sorted(check(dict[str, str], data.get(key, {})).items())) for key in ("copies", "losses")
        )
        plan = cls(*head, dict(sorted(check(dict[str, str], data["sources"]).items())), stages, copies, losses)
        strange = {*copies, *losses, *(part.corpus for stage in stages for part in stage.parts)} - plan.corpora.keys()
        if strange or plan.tokenizer.dtype not in DTYPE_BYTES:
            found = f"the corpus {min(strange)!r}" if strange else f"tokens of type {plan.tokenizer.dtype!r}"
            raise ValueError(f"epoch {plan.epoch}: {found} is none that it knows")
        return plan


@dataclass(frozen=True)
class Schedule:
    """All epochs of a run."""

    epochs: tuple[EpochPlan, ...]

    def epoch(self, number: int) -> EpochPlan:
        """The plan of an epoch, from 1. Raises `ShardError` where there is none."""
        for plan in self.epochs:
            if plan.epoch == number:
                return plan
        raise ShardError(f"schedule: epoch {number} is not among its {len(self.epochs)} epochs; raise schedule.epochs")

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of the file's content, which the file also holds."""
        return canonical_hash(self._content())

    def _content(self) -> dict[str, Any]:
        return FORMAT | {"epochs": [plan.to_json() for plan in self.epochs]}

    def write(self, folder: Path) -> None:
        """Write `folder/schedule.json`."""
        files.write_json(folder / SCHEDULE_NAME, self._content() | {"content_hash": self.content_hash})

    @classmethod
    def read(cls, path: Path) -> Schedule:
        """Read `schedule.json`, or that of a folder. Raises `ShardError` where it is not one, or was edited."""
        path = path / SCHEDULE_NAME if path.is_dir() else path
        again = "materialize the schedule again"
        data = read_json(path, ShardError, what="a schedule", cure=again)
        try:
            intact = FORMAT.items() <= data.items() and data.pop("content_hash") == canonical_hash(data)
            if intact:
                return cls(tuple(EpochPlan.from_json(epoch) for epoch in data["epochs"]))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ShardError(f"{path}: not a schedule ({reason(error)}); {again}") from None
        raise ShardError(f"{path}: not a schedule of this version, or edited by hand; materialize the schedule again")
