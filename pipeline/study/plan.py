"""A study with what of its profile its arms are made from.

In: the `study:` section, and the profile's model, training, tokenizers, schedule and corpora. Out: each arm with
everything filled in. A profile makes the plan; nothing under `pipeline/study` knows a profile.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.base.errors import StudyError
from pipeline.base.suggestions import did_you_mean
from pipeline.sharding.settings import StageSettings
from pipeline.study.settings import SECTIONS, Budget, StudySettings
from pipeline.tokenization.settings import TokenizationSettings
from trainer.config import TrainingConfig, idle_settings
from trainer.errors import ConfigError
from trainer.model.config import ModelConfig


class ArmPlan(NamedTuple):
    """An arm with everything filled in; the vocabulary and the number of steps follow from its data."""

    name: str
    model: ModelConfig
    training: TrainingConfig
    data: tuple[str, ...]
    """Data sets of one tokenizer, which its seeds take in turn."""
    budget: Budget
    seeds: tuple[int, ...]
    teachers: tuple[str, ...] = ()
    """Arms that it learns from."""
    keep_weights: bool = False
    keep_checkpoints: int = 0
    """How many of the last points of the curve have their weights kept."""
    teaches: bool = False
    """Whether another arm learns from its runs."""

    def data_of(self, seed: int) -> str:
        """The data set that a seed trains on."""
        return self.data[self.seeds.index(seed) % len(self.data)]


@dataclass(frozen=True)
class StudyPlan:
    """The study's settings and the parts of the profile that it starts from."""

    settings: StudySettings
    model: ModelConfig
    training: TrainingConfig
    tokenizers: TokenizationSettings
    stages: tuple[StageSettings, ...]
    """The schedule's, for data sets that give none."""
    corpora: tuple[str, ...]

    def arm(self, name: str) -> ArmPlan:
        """An arm's settings: the profile's `model` and `training` with the changes of what it extends, then its own.
        Runs that are compared compute alike: in bf16, where the precision is left to the machine.

        Raises ValueError naming the arm and the setting that is unknown or does not fit.
        """
        study = self.settings
        values = {"model": dataclasses.asdict(self.model), "training": dataclasses.asdict(self.training)}
        budget, seeds = study.budget, study.seeds
        for ancestor in study.lineage(name):
            arm = study.arms[ancestor]
            budget, seeds = arm.budget or budget, arm.seeds or seeds
            for key, value in arm.change.items():
                _set(values, key, value, f"study.arms.{ancestor}.change")
        where = f"study.arms.{name}.change: "
        try:
            model = ModelConfig.from_dict(values["model"], f"{where}model")
            training = TrainingConfig.from_dict(values["training"], f"{where}training")
            training = dataclasses.replace(training, precision="bf16") if training.precision == "auto" else training
        except ConfigError as error:
            raise ValueError(str(error)) from None
        for place, what in idle_settings(model, training):
            raise ValueError(f"{where}{place}: {what}")
        return ArmPlan(
            name=name,
            model=model,
            training=training,
            data=study.data_of(name),
            budget=budget,
            seeds=seeds,
            teachers=study.teachers_of(name),
            keep_weights=study.arms[name].keep_weights,
            keep_checkpoints=study.arms[name].keep_checkpoints,
            teaches=study.teaches(name),
        )

    def stages_of(self, data: str) -> tuple[StageSettings, ...]:
        """The stages of a data set: its own, or the schedule's."""
        return self.settings.data[data].stages or self.stages

    def tokenizer_of(self, data: str) -> str:
        """Name of the tokenizer of a data set. Raises StudyError where the profile chooses it by comparison."""
        name = self._named_tokenizer(data)
        if name not in self.tokenizers.candidates:
            raise StudyError(
                f"study.data.{data}: tokenizers.select is {name!r}, no candidate's name; set the data set's tokenizer"
            )
        return name

    def check(self) -> None:
        """Raise ValueError for whatever the study names that the rest of the profile does not have, or cannot run."""
        study = self.settings
        for name, data in study.data.items():
            if data.tokenizer is not None and data.tokenizer not in self.tokenizers.candidates:
                raise ValueError(f"study.data.{name}.tokenizer: {data.tokenizer!r} is not in tokenizers.candidates")
            for corpus in {corpus for stage in data.stages or () for corpus in stage.mixture} - set(self.corpora):
                raise ValueError(f"study.data.{name} mixes {corpus!r}, which is not in corpora")
            for key, named in (
                ("repeats_by_cluster", data.repeats_by_cluster),
                ("loss_model", data.loss_model.corpora),
            ):
                for corpus in set(named) - set(self.corpora):
                    known = did_you_mean(corpus, self.corpora)
                    raise ValueError(f"study.data.{name}.{key}: {corpus!r} is not in corpora{known}")
        for corpus in study.heldout.bytes.keys() - set(self.corpora):
            known = did_you_mean(corpus, self.corpora)
            raise ValueError(f"study.heldout.bytes: {corpus!r} is not in corpora{known}")
        mixed = study.mixture_search.corpora if study.mixture_search is not None else {}
        for corpus in mixed.keys() - set(self.corpora):
            known = did_you_mean(corpus, self.corpora)
            raise ValueError(f"study.mixture_search.corpora: {corpus!r} is not in corpora{known}")
        for name in study.arms:
            self._check_tokenizers(self.arm(name))

    def _check_tokenizers(self, arm: ArmPlan) -> None:
        """By what they are, not by whether a data set names it: one is `tokenizers.select` where it names none."""
        named = {data: self._named_tokenizer(data) for data in arm.data}
        if len(set(named.values())) > 1:
            raise ValueError(f"study.arms.{arm.name}.data: {' and '.join(arm.data)} have different tokenizers")
        for teacher in arm.teachers:
            if self._named_tokenizer(self.settings.data_of(teacher)[0]) not in named.values():
                raise ValueError(f"study.arms.{arm.name}.teachers: {teacher} has another tokenizer than {arm.name}")

    def _named_tokenizer(self, data: str) -> str:
        return self.settings.data[data].tokenizer or self.tokenizers.select


def _set(values: dict[str, Any], key: str, value: Any, where: str) -> None:
    section, *path = key.split(".")
    if section not in SECTIONS or not path:
        raise ValueError(
            f"{where}: {key!r} is no setting an arm can change; write model.<setting> or training.<setting>"
            f"{did_you_mean(section, SECTIONS)}"
        )
    place = values[section]
    for part in path[:-1]:
        if place.get(part) is None:
            place[part] = {}
        place = place[part]
        if not isinstance(place, dict):
            return  # a value where a section goes; whoever reads the settings says so
    place[path[-1]] = value
