"""A profile: one file that describes a whole experiment, as typed settings. No heavy imports.

`load_profile` finds the file (a built-in name or a path), reads it with its line numbers, lays overrides on it and
validates all of it at once, so that every mistake is reported together, each with its file, line and nearest key.
The sections are owned by the packages that use them; this file only composes them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from pipeline.base.errors import ProfileError
from pipeline.base.settings import Settings, runtime
from pipeline.curation.settings import CorpusSettings, CurationSettings
from pipeline.engine.settings import Engine, ProcessesEngine, engine_of_environment
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.evaluation.suites.bits_per_byte import ENGLISH
from pipeline.launch.settings import LaunchSettings
from pipeline.profile.consistency import WARMUP, mistakes_between
from pipeline.profile.moved_keys import MOVED
from pipeline.profile.tokenizer_names import mistakes_of_tokenizers
from pipeline.profile.yaml import (
    Locations,
    beside_its_file,
    find_profile,
    merge,
    mistake_in_name,
    origin_of,
    read_profile_file,
)
from pipeline.sharding.settings import ScheduleSettings, ShardSettings
from pipeline.study.plan import StudyPlan
from pipeline.study.settings import StudySettings
from pipeline.tokenization.settings import TokenizationSettings
from trainer.config import TrainingConfig
from trainer.errors import ConfigError
from trainer.mistakes import Mistake, explain
from trainer.model.config import ModelConfig
from trainer.presets import with_preset

NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
OWNER: Final = re.compile(r"team:.+|[\w.+-]+@[\w-]+(\.[\w-]+)+")
MOST_ERRORS: Final = 8
AT_ONCE_VARIABLE: Final = "SQUEEZE_ASSETS_AT_ONCE"


class Profile(Settings):
    """A whole experiment."""

    name: str = runtime("")
    """Names the pointers in the store, so without a slash; the file's name when left out."""
    description: str = runtime("")
    """A sentence for people."""
    owners: tuple[str, ...] = runtime(())
    """Who is asked about its assets, as the web UI shows: mail addresses, and teams as `team:data`."""
    preset: str | None = None
    """Model and recipe to start from (`s`, `m`, `l`, `gpt2`, `gpt2_3x`); `model` and `training` change parts of it."""
    corpora: dict[str, CorpusSettings] = Field(min_length=1)
    """Kinds of text, by a name that becomes part of asset keys. Their order decides which copy of a text that several
    of them hold stays: the first's."""
    curation: CurationSettings = CurationSettings()
    """What spans the corpora: held-out text, duplicates, contamination."""
    tokenizers: TokenizationSettings
    """Which tokenizers are trained or loaded and compared, and which one is used."""
    schedule: ScheduleSettings
    """What is trained on when."""
    shards: ShardSettings = ShardSettings()
    """How an epoch is shuffled and laid out on disk."""
    model: ModelConfig
    """The architecture's switches and sizes."""
    training: TrainingConfig
    """Optimizer, schedule, batch, precision, what is logged."""
    launch: LaunchSettings = LaunchSettings()
    """Processes on this machine."""
    engine: Engine = runtime(ProcessesEngine())
    """Where parts are worked on: `processes`, `ray` or `slurm`, or one with its settings. SQUEEZE_ENGINE takes its
    place."""
    assets_at_once: int = runtime(1, ge=1)
    """Assets that a run works on at the same time, each in a process of its own; 1: one after the other in the run's
    process, as most use all cores themselves. Two trainers never run here at once. SQUEEZE_ASSETS_AT_ONCE takes its
    place, and `execution: {config: {assets_at_once: 2}}` in the launchpad."""
    evaluation: EvaluationSettings
    """What is scored."""
    study: StudySettings | None = None
    """The ablation study, if there is one."""
    _origin: str | None = PrivateAttr(None)

    @field_validator("name")
    @classmethod
    def _name_is_no_path(cls, name: str) -> str:
        if name and (wrong := mistake_in_name(name)):
            raise ValueError(wrong)
        return name

    @field_validator("corpora")
    @classmethod
    def _names_are_asset_keys(cls, corpora: dict[str, CorpusSettings]) -> dict[str, CorpusSettings]:
        for name in corpora:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} names an asset: use small letters, digits and underscores")
            if name == ENGLISH:
                raise ValueError(f"{name!r} is what scores of all English text are called: choose another name")
        return corpora

    @field_validator("owners")
    @classmethod
    def _owners_are_what_dagster_takes(cls, owners: tuple[str, ...]) -> tuple[str, ...]:
        for owner in owners:
            if not OWNER.fullmatch(owner):
                raise ValueError(f"{owner!r} is no owner: give a mail address, or a team as `team:data`")
        return owners

    @model_validator(mode="after")
    def _arms_can_run(self) -> Profile:
        if (plan := self.study_plan) is not None:
            plan.check()
        return self

    @property
    def origin(self) -> str | None:
        """Its file, as the store tells it from others of its name; None where no file was read."""
        return self._origin

    @property
    def study_plan(self) -> StudyPlan | None:
        """The study with what of this profile its arms are made from; none without a `study` section."""
        if self.study is None:
            return None
        stages, corpora = tuple(self.schedule.stages), tuple(self.corpora)
        return StudyPlan(self.study, self.model, self.training, self.tokenizers, stages, corpora)


def load_profile(name_or_path: str | None = None, overrides: Mapping[str, Any] | None = None) -> Profile:
    """Read and validate a profile; without a name the one SQUEEZE_PROFILE gives, or `sample`.

    `overrides` are nested mappings laid over the file, SQUEEZE_ENGINE and SQUEEZE_ASSETS_AT_ONCE
    over both. Raises ProfileError listing every mistake with its place.
    """
    file = find_profile(name_or_path)
    data, locations = read_profile_file(file)
    data = beside_its_file(data, locations, "tokenizers", "folder")
    data = merge({"name": file.stem}, merge(data, overrides or {}))
    try:
        profile = Profile.model_validate(_with_preset(data, locations))
    except ValidationError as error:
        raise ProfileError(_told(file, explain(error, Profile, data, MOVED), locations)) from None
    mistakes = [
        *mistakes_between(profile, own_warmup=locations.is_in(WARMUP, file)),
        *mistakes_of_tokenizers(profile.tokenizers, data),
    ]
    if mistakes:
        raise ProfileError(_told(file, mistakes, locations))
    profile._origin = origin_of(file)
    given = {"engine": engine_of_environment(), "assets_at_once": _at_once_of_environment()}
    return profile.model_copy(update={key: value for key, value in given.items() if value is not None})


def _at_once_of_environment() -> int | None:
    text = os.environ.get(AT_ONCE_VARIABLE, "").strip()
    if not text:
        return None
    if not (text.isdecimal() and int(text)):
        raise ProfileError(f"{AT_ONCE_VARIABLE}={text} must be a whole number of at least 1")
    return int(text)


def _with_preset(data: dict[str, Any], locations: Locations) -> dict[str, Any]:
    """Fill `model` and `training` from the preset. Raises ProfileError for a name that is none."""
    if data.get("preset") is None:
        return data
    try:
        return with_preset(data, f"{locations.of(['preset'])}:") | {"preset": data["preset"]}
    except ConfigError as error:
        raise ProfileError(str(error)) from None


def _told(file: Path, mistakes: Sequence[Mistake], locations: Locations) -> str:
    """All mistakes as lines of `file, line: key: what is wrong`."""
    lines = [
        f"{locations.of(mistake.path) or file.name}: {mistake.key or '(profile)'}: {mistake.text}"
        for mistake in mistakes
    ]
    more = f"\n  and {len(lines) - MOST_ERRORS} more" if len(lines) > MOST_ERRORS else ""
    return f"the profile {file} has mistakes:\n  " + "\n  ".join(lines[:MOST_ERRORS]) + more
