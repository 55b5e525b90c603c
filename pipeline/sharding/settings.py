"""Settings of the schedule (what is read when) and of the shards (how it is laid out on disk).

In: the sections `schedule` and `shards` of a profile. Out: frozen, validated settings. What can be checked without the
corpora is checked here; what needs their sizes is checked by `pipeline.sharding.schedule`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pipeline.base.settings import Settings, later, runtime

FEW_TOKENS: Final = 250_000_000
"""Work on fewer tokens than this ends before other processes have started."""
FINEWEB2: Final = {"2": 2, "3": 3, "5": 5, "100": 8, "1000": 1}
"""Times by the least size of a cluster (Penedo et al. 2025, as the data set's repository gives them)."""
MOST_TIMES: Final = 100
MEMORY_SETTINGS: Final = "shards.memory_mb or shards.workers"
"""What to lower where memory runs out."""


class CorpusAmount(Settings):
    """How much of a corpus a stage takes; exactly one of the three. A plain number is a weight."""

    weight: float | None = Field(None, ge=0)
    """Share of the stage's tokens, relative to the other weights; 0 leaves the corpus out."""
    tokens: int | None = Field(None, ge=0)
    """Tokens, whatever the stage's size."""
    repeats: float | None = Field(None, ge=0)
    """Passes over the whole corpus: 2 takes every document twice, 0.25 the next quarter of the documents."""

    @model_validator(mode="after")
    def _exactly_one(self) -> CorpusAmount:
        given = [name for name in ("weight", "tokens", "repeats") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of weight, tokens, repeats; found {', '.join(given) or 'none'}")
        return self


class StageSettings(Settings):
    """A stretch of an epoch with one mixture. Documents are shuffled within a stage, never across stages."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    mixture: dict[str, CorpusAmount] = Field(min_length=1)
    """Corpora and how much of each. `mixture: {search: {books: 0.5, web: 0.5}}` takes the shares that
    `study.mixture_search` found of these corpora; the weights are what plans are made with until then."""
    searched: bool = later(False)
    """Whether the shares are those that a search found: `mixture: {search: ...}` sets it."""
    share: float | None = Field(None, gt=0, le=1)
    """Share of the epoch's tokens. Without `share` and `tokens`, the stage takes what the other stages leave."""
    tokens: int | None = Field(None, gt=0)
    """Size in tokens, instead of a share."""
    epochs: tuple[int, ...] | None = None
    """Epochs, from 1, in which the stage occurs; all by default."""
    order: Literal["shuffled", "simple_to_hard", "common_to_rare", "short_to_long", "easy_to_hard"] = "shuffled"
    """`simple_to_hard` sorts by reading grade, `common_to_rare` by tokens a byte, of which rare words take more,
    `short_to_long` by length, `easy_to_hard` by the loss of a small model (`schedule.loss_model`); each in
    `grade_steps` equal steps that are shuffled inside."""
    descending: bool = later(False)
    """Whether an order other than `shuffled` goes the other way: from hard to simple, from long to short."""
    grade_steps: int = Field(16, ge=2, le=1024)
    """Steps of an order other than `shuffled`; each holds about the same number of documents."""

    @model_validator(mode="before")
    @classmethod
    def _searched_mixture(cls, value: object) -> object:
        if isinstance(value, dict) and isinstance(value.get("mixture"), dict):
            mixture = value["mixture"]
            if list(mixture) == ["search"] and isinstance(mixture["search"], dict):
                return value | {"mixture": mixture["search"], "searched": True}
        return value

    @field_validator("mixture", mode="before")
    @classmethod
    def _numbers_are_weights(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {k: {"weight": v} if isinstance(v, int | float) and v is not True else v for k, v in value.items()}

    @model_validator(mode="after")
    def _consistent(self) -> StageSettings:
        if self.share is not None and self.tokens is not None:
            raise ValueError(f"stage {self.name!r}: give share or tokens, not both")
        if self.epochs is not None and (not self.epochs or min(self.epochs) < 1):
            raise ValueError(f"stage {self.name!r}: epochs are numbered from 1, found {list(self.epochs)}")
        if self.descending and self.order == "shuffled":
            raise ValueError(
                f"stage {self.name!r}: shuffled documents have no order to turn: name one, or no descending"
            )
        if self.searched and any(mix.weight is None for mix in self.mixture.values()):
            raise ValueError(f"stage {self.name!r}: a searched mixture is of weights, not of tokens or repeats")
        if all(mix.weight == 0 or mix.tokens == 0 or mix.repeats == 0 for mix in self.mixture.values()):
            raise ValueError(f"stage {self.name!r}: every corpus has a weight of 0")
        return self

    @property
    def takes_losses(self) -> bool:
        """Whether its documents need losses to be put in order."""
        return self.order == "easy_to_hard"

    @property
    def takes_the_rest(self) -> bool:
        """Whether the stage's size is what the other stages leave."""
        weighted = any(mix.weight for mix in self.mixture.values())
        return self.share is None and self.tokens is None and weighted


class LossModel(Settings):
    """The model by whose loss `easy_to_hard` sorts. By default one of counts: n-grams of tokens, hashed, in two halves
    of the text, each of which scores the other."""

    model: str | None = runtime(None)
    """A finished model of the store that scores in place of n-grams: a profile, whose current model is meant, or the
    fingerprint of a model. Its tokenizer must be this one's. What it was trained on is easier for it."""
    corpora: tuple[str, ...] = ()
    """What it learns from; by default all corpora that the schedule mixes."""
    ngram: int = Field(3, ge=1, le=5)
    """Tokens of the longest n-grams."""
    bits: int = Field(22, ge=8, le=28)
    """Buckets of a table of counts: 2 to the power of this. There are 4 tables of 4-byte counts for each length of
    n-grams from 2."""

    @model_validator(mode="after")
    def _one_model(self) -> LossModel:
        if self.model is not None and (self.corpora or (self.ngram, self.bits) != (3, 22)):
            raise ValueError("model: a finished model has learned already: leave out corpora, ngram and bits, or it")
        return self

    def learned(self, mixed: Iterable[str]) -> tuple[str, ...]:
        """The corpora that it learns from, where these are mixed; a finished model from none."""
        return () if self.model is not None else self.corpora or tuple(mixed)


def _table_of_repeats(value: object) -> object:
    """A table as it is written, with its sizes as texts: keys of numbers have no one form in JSON."""
    if value == "fineweb2":
        return dict(FINEWEB2)
    return {str(size): times for size, times in value.items()} if isinstance(value, dict) else value


def _sizes_and_times(value: dict[str, int]) -> dict[str, int]:
    for size, times in value.items():
        if not size.isdecimal() or int(size) < 2 or not 1 <= times <= MOST_TIMES:
            raise ValueError(
                f"{size}: {times} is not a cluster's size, from 2, and how often a document is read, 1 to "
                f"{MOST_TIMES}; write {{2: 2, 5: 3}}, or fineweb2"
            )
    return dict(sorted(value.items(), key=lambda row: int(row[0])))


ClusterTable = Annotated[dict[str, int], BeforeValidator(_table_of_repeats), AfterValidator(_sizes_and_times)]


class ScheduleSettings(Settings):
    """Stages, mixtures and repeats for every epoch."""

    seed: int = Field(1, ge=0, lt=2**63)
    epochs: int = Field(1, ge=1, le=10_000)
    tokens_per_epoch: int | None = Field(None, gt=0)
    """Size of an epoch that shares refer to; by default, all tokens of the corpora it mixes, counted once."""
    stages: tuple[StageSettings, ...] = Field(min_length=1)
    """In training order."""
    language_temperature: dict[str, float] = Field(default_factory=dict)
    """By corpus: its languages share its tokens in proportion to (tokens of the language) to the power of
    1 / temperature, so 1 changes nothing and a large number makes them equal (Arivazhagan et al. 2019, section 3)."""
    repeats_by_cluster: dict[str, ClusterTable] = later({})
    """By corpus: how often one pass reads what was kept of a cluster of near duplicates, by the documents that the
    cluster had. In `{2: 2, 5: 3}` those of 2 to 4 are read twice and larger ones three times; `fineweb2` is FineWeb-2's
    table, `{2: 2, 3: 3, 5: 5, 100: 8, 1000: 1}`."""
    loss_model: LossModel = later(LossModel())
    """What `order: easy_to_hard` sorts by."""

    @model_validator(mode="after")
    def _consistent(self) -> ScheduleSettings:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages need different names, found {', '.join(names)}")
        for corpus, temperature in self.language_temperature.items():
            if not temperature >= 1 or temperature == float("inf"):
                raise ValueError(f"language_temperature of {corpus!r}: at least 1, found {temperature}")
        for epoch in range(1, self.epochs + 1):
            active = self.stages_of(epoch)
            rest = [stage.name for stage in active if stage.takes_the_rest]
            if not active:
                raise ValueError(f"no stage occurs in epoch {epoch}")
            if len(rest) > 1:
                raise ValueError(f"epoch {epoch}: stages {', '.join(rest)} have neither share nor tokens; one may")
            if sum(stage.share or 0 for stage in active) > 1 + 1e-9:
                raise ValueError(f"epoch {epoch}: the shares of its stages add up to more than 1")
        return self

    @property
    def corpora(self) -> tuple[str, ...]:
        """What its stages mix."""
        return tuple(dict.fromkeys(corpus for stage in self.stages for corpus in stage.mixture))

    def stages_of(self, epoch: int) -> list[StageSettings]:
        """The stages of `epoch` (from 1), in order."""
        return [stage for stage in self.stages if stage.epochs is None or epoch in stage.epochs]


class PackingSettings(Settings):
    """Rows of best-fit packing beside the shards, for training without documents cut at random places."""

    context: int = Field(ge=1)
    """Tokens of a row that are predicted: the model's context length."""


class ShardSettings(Settings):
    """How an epoch is shuffled and laid out."""

    mode: Literal["global", "within_shard"] = "global"
    """`global` is a uniform permutation of all documents. `within_shard` is cheaper (one pass): every epoch's shards
    hold the same documents, their order and the documents inside are permuted."""
    tokens_per_shard: int = Field(64_000_000, ge=1)
    """A document belongs to the shard in which its first token falls."""
    tokens_per_batch: int = Field(2_000_000, ge=1, lt=2**30)
    """Tokens of an Arrow record batch, likewise."""
    packing: PackingSettings | None = None
    workers: int | None = runtime(None, ge=1)
    """Processes on a machine; by default one a core."""
    memory_mb: int = runtime(768, ge=64)
    """Anonymous memory to stay within on a machine, over all workers; smaller values mean more, smaller parts."""

    def worth_workers(self, tokens: int) -> bool:
        """Whether work on so many tokens goes to workers: where `workers` is set, or it outlasts their start."""
        return self.workers is not None or tokens >= FEW_TOKENS

    @model_validator(mode="after")
    def _batches_fill_shards(self) -> ShardSettings:
        if self.tokens_per_shard % self.tokens_per_batch:
            raise ValueError(
                f"tokens_per_shard ({self.tokens_per_shard}) must be a multiple of tokens_per_batch "
                f"({self.tokens_per_batch})"
            )
        return self
