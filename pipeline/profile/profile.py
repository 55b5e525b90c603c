"""A profile: one file that describes a whole experiment, as typed settings. No heavy imports.

`load_profile` finds the file (a built-in name or a path), reads it with its line numbers, lays overrides on it and
validates all of it at once, so that every mistake is reported together, each with its file, line and nearest key.
The sections are owned by the packages that use them; this file only composes them.
"""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from pipeline.base.errors import ProfileError
from pipeline.base.settings import Settings, runtime
from pipeline.base.suggestions import did_you_mean
from pipeline.curation.settings import CorpusSettings, CurationSettings
from pipeline.evaluation.settings import ENGLISH, EvaluationSettings
from pipeline.launch.settings import LaunchSettings
from pipeline.profile.moved_keys import new_place
from pipeline.profile.yaml import Locations, find_profile, merge, read_profile_file
from pipeline.sharding.settings import ScheduleSettings, ShardSettings
from pipeline.study.settings import StudySettings, check_study
from pipeline.tokenization.settings import TokenizationSettings
from trainer.config import TrainingConfig
from trainer.model.config import ModelConfig
from trainer.presets import with_preset

PROFILE_VARIABLE: Final = "SQUEEZE_PROFILE"
DEFAULT_PROFILE: Final = "sample"
NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
MOST_ERRORS: Final = 8


class Profile(Settings):
    """A whole experiment."""

    name: str = runtime("")
    """Names the pointers in the store; the file's name when left out."""
    description: str = runtime("")
    """A sentence for people."""
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
    evaluation: EvaluationSettings
    """What is scored."""
    study: StudySettings | None = None
    """The ablation study, if there is one."""

    @field_validator("corpora")
    @classmethod
    def _names_are_asset_keys(cls, corpora: dict[str, CorpusSettings]) -> dict[str, CorpusSettings]:
        for name in corpora:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} names an asset: use small letters, digits and underscores")
            if name == ENGLISH:
                raise ValueError(f"{name!r} is what scores of all English text are called: choose another name")
        return corpora

    @model_validator(mode="after")
    def _mixtures_name_corpora(self) -> Profile:
        for stage in self.schedule.stages:
            for source in stage.mixture:
                if source not in self.corpora:
                    raise ValueError(
                        f"schedule stage {stage.name!r} mixes {source!r}, which is not in corpora"
                        f"{did_you_mean(source, self.corpora)}; there are {', '.join(self.corpora)}"
                    )
        for corpus in self.schedule.language_temperature:
            if corpus not in self.corpora:
                raise ValueError(
                    f"schedule.language_temperature: there is no corpus {corpus!r}"
                    f"{did_you_mean(corpus, self.corpora)}; there are {', '.join(self.corpora)}"
                )
        return self

    @model_validator(mode="after")
    def _rows_are_packed_for_the_model(self) -> Profile:
        packing = self.shards.packing
        if packing is not None and packing.context != self.model.context:
            raise ValueError(
                f"shards.packing.context is {packing.context}, model.context {self.model.context}: rows are packed for "
                "one context; set both to the same"
            )
        return self

    @model_validator(mode="after")
    def _arms_can_run(self) -> Profile:
        if self.study is not None:
            check_study(self.study, list(self.corpora), self.tokenizers.candidates, self.model, self.training)
        return self


def load_profile(name_or_path: str | None = None, overrides: Mapping[str, Any] | None = None) -> Profile:
    """Read and validate a profile; without a name the one SQUEEZE_PROFILE gives, or `sample`.

    `overrides` are nested mappings laid over the file. Raises ProfileError listing every mistake with its place.
    """
    file = find_profile(name_or_path or os.environ.get(PROFILE_VARIABLE) or DEFAULT_PROFILE)
    data, locations = read_profile_file(file)
    data = merge({"name": file.stem}, merge(data, overrides or {}))
    try:
        return Profile.model_validate(_with_preset(data))
    except ValidationError as error:
        raise ProfileError(_explain(file, error, data, locations)) from None


def profile_name(name_or_path: str | None = None) -> str:
    """The name that a profile's pointers in the store carry. Raises ProfileError when there is no such profile."""
    file = find_profile(name_or_path or os.environ.get(PROFILE_VARIABLE) or DEFAULT_PROFILE)
    data, _ = read_profile_file(file)
    return str(data.get("name", file.stem))


def _with_preset(data: dict[str, Any]) -> dict[str, Any]:
    """Fill `model` and `training` from the preset. Errors in the preset's name carry no line; they name the key."""
    if data.get("preset") is None:
        return data
    try:
        return dict(with_preset(data, "profile")) | {"preset": data["preset"]}
    except ValueError as error:
        raise ProfileError(f"preset: {error}") from None


def _explain(file: Path, error: ValidationError, data: Mapping[str, Any], locations: Locations) -> str:
    """All mistakes as lines of `file, line: key: what is wrong`."""
    lines = []
    for item in error.errors():
        path = _written_path(item["loc"], data)
        key = ".".join(str(part) for part in path) or "(profile)"
        place = locations.of(path) or file.name
        if (moved := new_place(path)) is not None and not isinstance(item["input"], Mapping):
            text = f"this key has moved: write {moved}"
        elif item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            known = _keys_at(Profile, path[:-1])
            text = f"unknown key{did_you_mean(str(path[-1]), known)}"
            text += f" (known: {', '.join(known)})" if known else ""
        else:
            given = (
                "" if item["type"] == "missing" or isinstance(item["input"], Mapping) else f"; found {item['input']!r}"
            )
            text = item["msg"].removeprefix("Value error, ") + given
        lines.append(f"{place}: {key}: {text}")
    lines = list(dict.fromkeys(lines))
    more = f"\n  and {len(lines) - MOST_ERRORS} more" if len(lines) > MOST_ERRORS else ""
    return f"the profile {file} has mistakes:\n  " + "\n  ".join(lines[:MOST_ERRORS]) + more


def _written_path(loc: Sequence[str | int], data: Any) -> list[str | int]:
    """Pydantic's location without the tags of unions that it puts between the keys a user wrote."""
    path: list[str | int] = []
    for position, part in enumerate(loc):
        written = part in data if isinstance(data, Mapping) else isinstance(data, list) and part in range(len(data))
        if written:
            data = data[part]
        if written or position == len(loc) - 1:
            path.append(part)
    return path


def _keys_at(model: Any, path: Sequence[str | int]) -> list[str]:
    """The keys allowed at a path, found by following the annotations; every member of a union counts."""
    models = [model]
    for part in path:
        models = [inner for item in models for inner in _inside(item, part)]
    return sorted({name for item in models for name in _fields(item)})


def _inside(model: Any, part: str | int) -> list[Any]:
    if isinstance(model, _Items):
        return model.classes
    return _classes(_fields(model).get(str(part)))


def _classes(annotation: Any) -> list[Any]:
    """The settings classes inside an annotation, looking through unions, lists, mappings and Annotated."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _classes(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [item for option in typing.get_args(annotation) for item in _classes(option)]
    if origin in (list, tuple, Sequence):
        return [_Items(_classes(typing.get_args(annotation)[0]))]
    if origin in (dict, Mapping):
        return [_Items(_classes(typing.get_args(annotation)[1]))]
    return [annotation] if _fields(annotation) else []


@dataclasses.dataclass(frozen=True)
class _Items:
    """A container: whatever key or position leads to one of these classes."""

    classes: list[Any]


def _fields(model: Any) -> dict[str, Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {name: info.annotation for name, info in model.model_fields.items()}
    if isinstance(model, type) and dataclasses.is_dataclass(model):
        return typing.get_type_hints(model)
    return {}
