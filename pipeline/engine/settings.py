"""Where parts are worked on: the section `engine` of a profile, or SQUEEZE_ENGINE, which takes its place.

In: a word or a mapping. Out: validated settings of one engine. None of it changes a result, so none of it enters a
fingerprint: what one engine built, another reuses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from pipeline.base.bounded_yaml import load_yaml
from pipeline.base.errors import ProfileError
from pipeline.base.settings import Settings, runtime
from trainer.mistakes import explain
from trainer.settings import Count, Positive

ENGINE_VARIABLE: Final = "SQUEEZE_ENGINE"
KINDS: Final = ("processes", "ray", "slurm")
OURS: Final = ("--array", "--output", "--error", "--parsable", "--wrap", "--wait", "--job-name")
"""Options of sbatch that are given for every array."""
T = TypeVar("T")


class ProcessesEngine(Settings):
    """Processes on this machine: as many as `curation.workers` and `shards.workers` say."""

    kind: Literal["processes"] = runtime("processes")


class RayEngine(Settings):
    """Tasks of a Ray cluster (extra `[ray]`)."""

    kind: Literal["ray"] = runtime("ray")
    address: str | None = runtime(None)
    """`HOST:PORT` of a cluster that this machine belongs to, or `auto` for the one that runs here; none: that of the
    variable RAY_ADDRESS, else a Ray of this run's own on this machine."""
    cpus: Positive = runtime(1.0)
    """CPUs that the cluster counts for a part."""
    slots: Count | None = runtime(None)
    """Parts at the same time; none: as many as the nodes that are there have CPUs for. Give it where nodes are started
    on demand."""
    files: Literal["folder", "store"] = runtime("folder")
    """How files reach the nodes. `folder`: all of them see SQUEEZE_HOME under one path. `store`: they share nothing but
    the bucket that SQUEEZE_STORE names."""
    node_gb: Positive = runtime(20.0)
    """With `files: store`, gigabytes of files that a node keeps for further parts."""


class SlurmEngine(Settings):
    """Job arrays of Slurm, whose nodes see the folder SQUEEZE_HOME under one path."""

    kind: Literal["slurm"] = runtime("slurm")
    slots: Count = runtime(8)
    """Elements of an array: parts at the same time."""
    options: tuple[str, ...] = runtime(())
    """For sbatch, each a word: `--partition=cpu`, `--time=2:00:00`, `--mem=2G`, `--cpus-per-task=1`. They hold for an
    element, which stays within `shards.memory_mb` by itself."""

    @field_validator("options")
    @classmethod
    def _are_words_of_sbatch(cls, options: tuple[str, ...]) -> tuple[str, ...]:
        for option in options:
            if not option.startswith("-"):
                raise ValueError(f"{option!r} is no option of sbatch: write it as `--name=value`")
            if option.split("=")[0] in OURS:
                raise ValueError(f"{option!r} is given by the engine itself: leave it out")
        return options


def _word_or_mapping(value: T) -> T | dict[str, Any]:
    if isinstance(value, Mapping) and "kind" not in value:
        raise ValueError(f"must say its `kind`: {', '.join(KINDS)}")
    return {"kind": value} if isinstance(value, str) else value


Engine = Annotated[
    ProcessesEngine | RayEngine | SlurmEngine, Field(discriminator="kind"), BeforeValidator(_word_or_mapping)
]
"""An engine of any kind, as profiles give it."""


class _Given(Settings):
    engine: Engine


def engine_of_environment() -> Engine | None:
    """What SQUEEZE_ENGINE says, none where it is not set.

    Its text is YAML: a kind, or `{kind: ray, address: "10.0.0.1:6379"}`. Raises ProfileError for what is no engine.
    """
    from ruamel.yaml.error import YAMLError

    text = os.environ.get(ENGINE_VARIABLE, "").strip()
    if not text:
        return None
    try:
        given = {"engine": load_yaml(text)}
        return _Given.model_validate(given).engine
    except YAMLError as error:
        raise ProfileError(f"{ENGINE_VARIABLE}={text!r} is not valid YAML: {error}") from None
    except ValidationError as error:
        told = "; ".join(mistake.told(f"{ENGINE_VARIABLE}:") for mistake in explain(error, _Given, given))
        raise ProfileError(told) from None
