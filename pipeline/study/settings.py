"""The `study:` section of a profile: small equal runs, each with one thing changed.

An arm is a name, the idea it tests, and a change: settings of `model` and `training` by their dotted names, laid over
the profile's own (`model.position: rope`). What an arm trains on is a named data set of the study, so that arms that
share one share its shards. The profile's `model` and `training` are the study's base recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.base.settings import Settings, later, runtime
from pipeline.base.suggestions import did_you_mean
from pipeline.evaluation.lm_eval.training_items import WhileTraining
from pipeline.sharding.settings import ClusterTable, LossModel, StageSettings
from pipeline.study.mixture_settings import MixtureSearch
from pipeline.study.questions import Question
from pipeline.study.results.design import ArmDesign, Design
from pipeline.study.tracks import RaceSettings

NAME = r"^[a-z][a-z0-9_]*$"
SECTIONS = ("model", "training")
SAME_WEIGHTS = ("model.dropout",)
"""Settings of the model that leave the initial weights as they are."""
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
    repeats_by_cluster: dict[str, ClusterTable] = later({})
    """As `schedule.repeats_by_cluster`, which data sets do not take over."""
    loss_model: LossModel = later(LossModel())
    """What stages whose order is `easy_to_hard` sort by, as `schedule.loss_model`."""


class HeldoutSample(Settings):
    """The held-out text every arm is scored on: whole documents in the order of a hash, as many as fit."""

    bytes: dict[str, int] = Field(min_length=1)
    """UTF-8 bytes a corpus."""
    apart: tuple[str, ...] = ()
    """Corpora that are scored but left out of the pooled score, such as languages that not every arm trains on."""
    curve_share: float = Field(0.2, gt=0, le=1)
    """Part of it that is scored on the way, for the curves."""
    seed: int = 1
    without: HeldoutSample | None = later(None)
    """The sample that settings were chosen on: none of its documents is in this one, so that what is reported on this
    one was chosen on nothing of it."""

    @model_validator(mode="after")
    def _something_is_pooled(self) -> HeldoutSample:
        if not set(self.bytes) - set(self.apart):
            raise ValueError("every corpus is apart: nothing is left to pool")
        return self


class Arm(Settings):
    """One experiment."""

    idea: int = runtime(0, ge=0)
    """Which of the study's `ideas` it tests, counted from 1; 0 is none of them."""
    title: str = runtime("")
    extends: str | None = runtime(None)
    """An arm whose changes, data, budget and seeds it starts from."""
    against: str | None = runtime(None)
    """The arm it is compared with, where that is not the study's baseline."""
    change: dict[str, Any] = Field(default_factory=dict)
    """Settings by dotted name, such as `training.optimizer.learning_rate: 2.8e-3`."""
    data: str | tuple[str, ...] | None = None
    """The data set it trains on. Several: its seeds take them in turn, so that what its runs spread over is the choice
    and the order of the text too; without several draws of it, an arm about either gets no verdict."""
    teachers: tuple[ArmName, ...] = later(())
    """Arms whose finished runs, of every seed, it learns from beside the text, as `training.teacher_weight` and
    `training.teacher_temperature` say: the mean of their distributions counts. Theirs must be its tokenizer."""
    budget: Budget | None = None
    seeds: tuple[int, ...] | None = None
    keep_weights: bool = runtime(False)
    """Keep what its runs end with, 4 bytes a parameter a run, for `squeeze study sizes`. Runs that kept none are
    trained once more. Not handed on to arms that extend this one."""
    keep_checkpoints: int = runtime(0, ge=0)
    """Keep the weights at so many of the last points of its curve before the end too, so that `squeeze study score` and
    `squeeze study signal` say how far suites' scores spread over them; with `keep_weights`. Runs that kept fewer are
    trained once more. Not handed on to arms that extend this one."""

    @model_validator(mode="after")
    def _checkpoints_beside_the_end(self) -> Self:
        if self.keep_checkpoints and not self.keep_weights:
            raise ValueError("keep_checkpoints is kept beside what a run ends with: set keep_weights too")
        return self


class Idea(Settings):
    """A row of the page's table of ideas; a title alone may be written in its place."""

    title: str
    shows: Literal["arms", "spread"] = "arms"
    """`arms`: what the arms that test it are worth. `spread`: how far runs of one arm spread over seeds, and how many
    benchmarks tell the `recipe` from the baseline."""

    @model_validator(mode="before")
    @classmethod
    def _title_alone(cls, value: object) -> object:
        return {"title": value} if isinstance(value, str) else value


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
    margin: float = Field(0.0, ge=0)
    """Bits per byte within which a difference counts as none, named before the runs: equal is only what has its whole
    interval inside."""
    tuned: tuple[str, ...] = ()
    """Arms that differ in the learning rate alone; the best of them is the tuned baseline."""
    recipe: str | None = None
    """The arm that puts the ideas together: benchmarks are asked to tell it from the baseline."""
    ideas_heading: str = "Ideas"
    """What the table of ideas is called on the page."""
    ideas: tuple[Idea, ...] = ()
    """Rows of the table of ideas, in the order of their numbers; none: the page has no such table."""
    ladders: tuple[tuple[tuple[ArmName, ...], ...], ...] = runtime(())
    """For `squeeze study signal`: each ladder's rungs, the lowest first, a rung being the arms of the same recipes in
    the same order, trained for longer or at a larger size than on the rung below. It tells how often a low rung's runs
    put two recipes in the order of the highest."""
    questions: tuple[Question, ...] = ()
    """What the page answers first, in this order."""
    arms: dict[ArmName, Arm] = Field(min_length=1)
    benchmarks: WhileTraining = WhileTraining()
    """Multiple-choice tasks every run is scored on at its end; none: no benchmarks."""
    seeds_at_once: int | None = runtime(None, ge=1)
    """Runs of an arm side by side, a thread each; none: one a core, or as many as Ray or Slurm has room for."""
    mixture_search: MixtureSearch | None = later(None)
    """Small runs over many mixtures, and the best one by a regression (docs/data.md): the asset `mixture_search`."""
    race: RaceSettings | None = later(None)
    """What makes the study a race (docs/race.md): `extends: race` has it."""

    @field_validator("arms", mode="before")
    @classmethod
    def _empty_arms(cls, value: object) -> object:
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _names_exist(self) -> StudySettings:
        wanted = [("baseline", self.baseline), ("recipe", self.recipe), *(("tuned", name) for name in self.tuned)]
        for number, question in enumerate(self.questions, start=1):
            wanted += [(f"questions, the {number}., {key}", name) for key, name in question.arms()]
        for number, ladder in enumerate(self.ladders, start=1):
            where = f"ladders, the {number}."
            wanted += [(where, name) for rung in ladder for name in rung]
            if len(ladder) < 2 or len({len(rung) for rung in ladder}) > 1:
                raise ValueError(f"{where}: give at least two rungs, each with the arms of the same recipes")
        if self.race is not None and self.race.track is not None:
            wanted.append(("race.entry", self.race.entry))
        if (search := self.mixture_search) is not None:
            wanted += [("mixture_search.arm", search.arm), *(("mixture_search.tests", name) for name in search.tests)]
            for corpus in search.weights.keys() - self.heldout.bytes.keys():
                known = did_you_mean(corpus, self.heldout.bytes)
                raise ValueError(f"mixture_search.weights: {corpus!r} is not in heldout.bytes{known}")
        for name, arm in self.arms.items():
            wanted += [(f"arms.{name}.{key}", getattr(arm, key)) for key in ("extends", "against")]
            wanted += [(f"arms.{name}.teachers", teacher) for teacher in arm.teachers]
            self._check_data(name, arm)
            if self.ideas and arm.idea > len(self.ideas):
                raise ValueError(f"arms.{name}.idea: {arm.idea} is none of the {len(self.ideas)} ideas")
        for where, given in wanted:
            if given is not None and given not in self.arms:
                raise ValueError(f"{where}: there is no arm {given!r}{did_you_mean(given, self.arms)}")
        for name in self.arms:
            self.lineage(name)
        for name in self.arms:
            self._check_teachers(name)
        if self.race is not None and self.race.track is not None and self.teachers_of(self.race.entry):
            raise ValueError(f"arms.{self.race.entry}.teachers: nobody teaches in a race, as it would not be counted")
        return self

    def _check_data(self, name: str, arm: Arm) -> None:
        known = ", ".join(self.data)
        named = (arm.data,) if isinstance(arm.data, str) else arm.data
        if named == ():
            raise ValueError(f"arms.{name}.data: name at least one data set; there are {known}")
        for data in named or ():
            if data not in self.data:
                raise ValueError(f"arms.{name}.data: there is no data set {data!r}; there are {known}")

    def _check_teachers(self, name: str) -> None:
        known: set[str] = set()
        above = set(self.teachers_of(name))
        while above:
            known |= above
            above = {teacher for arm in above for teacher in self.teachers_of(arm)} - known
        if name in known:
            raise ValueError(f"arms.{name}.teachers: it would learn from itself")

    def lineage(self, name: str) -> list[str]:
        """The arm and what it extends, the first ancestor first. Raises ValueError for a circle."""
        ancestors: list[str] = []
        at: str | None = name
        while at is not None:
            if at in ancestors:
                raise ValueError(f"arms.{name}.extends: the arms {' -> '.join([*ancestors, at])} extend each other")
            ancestors.append(at)
            at = self.arms[at].extends
        return ancestors[::-1]

    def changes(self, name: str) -> dict[str, Any]:
        """What an arm changes, by dotted name, with the changes of what it extends."""
        return {key: value for ancestor in self.lineage(name) for key, value in self.arms[ancestor].change.items()}

    def data_of(self, name: str) -> tuple[str, ...]:
        """The data sets that an arm's seeds take in turn."""
        given = [self.arms[ancestor].data for ancestor in self.lineage(name)]
        chosen = next((data for data in reversed(given) if data), next(iter(self.data)))
        return (chosen,) if isinstance(chosen, str) else chosen

    def teachers_of(self, name: str) -> tuple[str, ...]:
        """The arms that an arm learns from: its own, or those of what it extends."""
        given = [self.arms[ancestor].teachers for ancestor in self.lineage(name)]
        return next((teachers for teachers in reversed(given) if teachers), ())

    def teaches(self, name: str) -> bool:
        """Whether any arm learns from this one."""
        return any(name in self.teachers_of(arm) for arm in self.arms)

    def design(self) -> Design:
        """Which arm is compared with which, as the results need it."""
        arms = {name: self._arm_design(name, arm) for name, arm in self.arms.items()}
        return Design(arms, self.baseline, self.tuned, self.recipe, self.margin)

    def _arm_design(self, name: str, arm: Arm) -> ArmDesign:
        changes = self.changes(name)
        model = {key: value for key, value in changes.items() if key.startswith("model.") and key not in SAME_WEIGHTS}
        names = self.data_of(name)
        data = self.data[names[0]]
        within = data.tokens_per_shard if data.shuffle == "within_shard" else None
        return ArmDesign(
            title=arm.title or name,
            idea=arm.idea,
            against=arm.against or self.baseline,
            start=(model, data.tokenizer),
            order=(data.stages, data.shuffle, within),
            amount=(data.tokenizer, data.tokens),
            draws=len(names),
            lone=not arm.idea and not arm.against,
        )
