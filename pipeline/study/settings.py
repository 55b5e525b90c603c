"""The `study:` section of a profile: small equal runs, each with one thing changed.

An arm is a name, the idea it tests, and a change: settings of `model` and `training` by their dotted names, laid over
the profile's own (`model.position: rope`). What an arm trains on is a named data set of the study, so that arms that
share one share its shards. The profile's `model` and `training` are the study's base recipe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from pipeline.base.settings import Settings, runtime
from pipeline.base.suggestions import did_you_mean
from pipeline.evaluation.settings import WhileTraining
from pipeline.sharding.settings import StageSettings
from trainer.config import TrainingConfig
from trainer.errors import ConfigError
from trainer.model.config import ModelConfig

NAME = r"^[a-z][a-z0-9_]*$"
SECTIONS = ("model", "training")
POOLED = "all"
"""Name of the score on the sample of all corpora that are not apart, as one text."""
ArmName = Annotated[str, Field(pattern=NAME)]


class Budget(Settings):
    """How far an arm is trained; exactly one of the three, rounded down to whole batches."""

    tokens: int | None = Field(None, gt=0)
    flops: float | None = Field(None, gt=0)
    bytes: int | None = Field(None, gt=0)
    """Bytes of training text, for comparing tokenizers."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Budget:
        if sum(value is not None for value in (self.tokens, self.flops, self.bytes)) != 1:
            raise ValueError("give exactly one of tokens, flops, bytes")
        return self

    def steps(self, batch_tokens: int, flops_per_token: float, bytes_per_token: float) -> int:
        """Whole batches that the budget pays for; 0 where it does not pay for one."""
        tokens = self.tokens or (self.flops or 0) / flops_per_token or (self.bytes or 0) / bytes_per_token
        return int(tokens // batch_tokens)


class StudyData(Settings):
    """What arms train on: a tokenizer and the shards of one or several epochs."""

    tokenizer: str | None = None
    """One of `tokenizers.candidates`; none: `tokenizers.select`."""
    tokens: int = Field(gt=0)
    """Tokens of an epoch."""
    stages: tuple[StageSettings, ...] | None = None
    """As `schedule.stages`; none: the profile's own."""
    epochs: int = Field(1, ge=1)
    """Passes over the same documents."""
    shuffle: Literal["global", "within_shard", "once"] = "global"
    """Between epochs: all documents anew, shards of fixed membership anew inside, or the first epoch's order again."""
    tokens_per_shard: int = Field(1_000_000, ge=1)
    seed: int = Field(1, ge=0)


class HeldoutSample(Settings):
    """The held-out text every arm is scored on: whole documents in the order of a hash, as many as fit."""

    bytes: dict[str, int] = Field(min_length=1)
    """UTF-8 bytes a corpus."""
    apart: tuple[str, ...] = ()
    """Corpora that are scored but left out of the pooled score, such as languages that not every arm trains on."""
    curve_share: float = Field(0.2, gt=0, le=1)
    """Part of it that is scored on the way, for the curves."""
    seed: int = 1

    @model_validator(mode="after")
    def _something_is_pooled(self) -> HeldoutSample:
        if not set(self.bytes) - set(self.apart):
            raise ValueError("every corpus is apart: nothing is left to pool")
        return self


class Arm(Settings):
    """One experiment."""

    idea: int = runtime(0, ge=0)
    """Which of the ideas it tests; 0 is none of the thirteen."""
    title: str = runtime("")
    extends: str | None = runtime(None)
    """An arm whose changes, data, budget and seeds it starts from."""
    against: str | None = runtime(None)
    """The arm it is compared with, where that is not the study's baseline."""
    change: dict[str, Any] = Field(default_factory=dict)
    """Settings by dotted name, such as `training.learning_rate: 2.8e-3`."""
    data: str | None = None
    budget: Budget | None = None
    seeds: tuple[int, ...] | None = None


class StudySettings(Settings):
    """The whole study. Arms run in the order in which they are written."""

    budget: Budget
    """Of an arm that sets none."""
    seeds: tuple[int, ...] = Field((1, 2, 3), min_length=1)
    data: dict[ArmName, StudyData] = Field(min_length=1)
    """The first is that of arms which name none."""
    heldout: HeldoutSample
    points: int = Field(8, ge=1)
    """Points of a curve; the last is the run's end."""
    baseline: str
    tuned: tuple[str, ...] = ()
    """Arms that differ in the learning rate alone; the best of them is the tuned baseline."""
    arms: dict[ArmName, Arm] = Field(min_length=1)
    benchmarks: WhileTraining = WhileTraining()
    """Multiple-choice tasks every run is scored on at its end; none: no benchmarks."""
    seeds_at_once: int | None = runtime(None, ge=1)
    """Runs side by side, a thread each; none: one a core."""

    @field_validator("arms", mode="before")
    @classmethod
    def _empty_arms(cls, value: object) -> object:
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _names_exist(self) -> StudySettings:
        wanted = [("baseline", self.baseline), *(("tuned", name) for name in self.tuned)]
        for name, arm in self.arms.items():
            wanted += [(f"arms.{name}.{key}", getattr(arm, key)) for key in ("extends", "against")]
            if arm.data is not None and arm.data not in self.data:
                known = ", ".join(self.data)
                raise ValueError(f"arms.{name}.data: there is no data set {arm.data!r}; there are {known}")
        for where, given in wanted:
            if given is not None and given not in self.arms:
                raise ValueError(f"{where}: there is no arm {given!r}{did_you_mean(given, self.arms)}")
        for name in self.arms:
            self.lineage(name)
        return self

    def lineage(self, name: str) -> list[str]:
        """The arm and what it extends, the first ancestor first. Raises ValueError for a circle."""
        found: list[str] = []
        at: str | None = name
        while at is not None:
            if at in found:
                raise ValueError(f"arms.{name}.extends: the arms {' -> '.join([*found, at])} extend each other")
            found.append(at)
            at = self.arms[at].extends
        return found[::-1]

    def changes(self, name: str) -> dict[str, Any]:
        """What an arm changes, by dotted name, with the changes of what it extends."""
        return {key: value for ancestor in self.lineage(name) for key, value in self.arms[ancestor].change.items()}

    def data_of(self, name: str) -> str:
        """The data set that an arm trains on."""
        named = [self.arms[ancestor].data for ancestor in self.lineage(name)]
        return next((data for data in reversed(named) if data), next(iter(self.data)))


class ArmRun(NamedTuple):
    """An arm with everything filled in; the vocabulary and the number of steps follow from its data."""

    name: str
    model: ModelConfig
    training: TrainingConfig
    data: str
    budget: Budget
    seeds: tuple[int, ...]


def resolve(study: StudySettings, name: str, model: ModelConfig, training: TrainingConfig) -> ArmRun:
    """An arm's settings: the profile's `model` and `training` with the changes of what it extends, then its own.

    Raises ValueError naming the arm and the setting that is unknown or does not fit.
    """
    values: dict[str, Any] = {"model": dataclasses.asdict(model), "training": dataclasses.asdict(training)}
    budget, seeds = study.budget, study.seeds
    for ancestor in study.lineage(name):
        arm = study.arms[ancestor]
        budget, seeds = arm.budget or budget, arm.seeds or seeds
        for key, value in arm.change.items():
            _set(values, key, value, f"study.arms.{ancestor}.change")
    where = f"study.arms.{name}.change: "
    try:
        return ArmRun(
            name,
            ModelConfig.from_dict(values["model"], f"{where}model"),
            TrainingConfig.from_dict(values["training"], f"{where}training"),
            study.data_of(name),
            budget,
            seeds,
        )
    except ConfigError as error:
        raise ValueError(str(error)) from None


def check_study(
    study: StudySettings,
    corpora: Sequence[str],
    tokenizers: Sequence[str],
    model: ModelConfig,
    training: TrainingConfig,
) -> None:
    """Raise ValueError for whatever the study names that the rest of the profile does not have, or cannot run."""
    for name, data in study.data.items():
        if data.tokenizer is not None and data.tokenizer not in tokenizers:
            raise ValueError(f"study.data.{name}.tokenizer: {data.tokenizer!r} is not in tokenizers.candidates")
        for source in {source for stage in data.stages or () for source in stage.mixture} - set(corpora):
            raise ValueError(f"study.data.{name} mixes {source!r}, which is not in corpora")
    for source in study.heldout.bytes.keys() - set(corpora):
        raise ValueError(f"study.heldout.bytes: {source!r} is not in corpora{did_you_mean(source, corpora)}")
    for name in study.arms:
        resolve(study, name, model, training)


def _set(values: dict[str, Any], key: str, value: Any, where: str) -> None:
    section, *path = key.split(".")
    if section not in SECTIONS or not path:
        raise ValueError(
            f"{where}: {key!r} is no setting an arm can change; write model.<setting> or training.<setting>"
            f"{did_you_mean(section, SECTIONS)}"
        )
    place = values[section]
    for part in path[:-1]:
        if not isinstance(place.get(part), dict):
            place[part] = {}
        place = place[part]
    place[path[-1]] = value
