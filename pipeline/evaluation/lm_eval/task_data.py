"""Which data sets of the hub the items of tasks come from, read from lm-eval's task files before anything is fetched.

In: names of tasks, groups or tags as a suite has them. Out: each data set with its configuration and the split that is
scored. Tasks whose items are local files, or made by a program of their own, have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from pipeline.evaluation.lm_eval.names import Named, own_names, stock_names

_HUB_ID: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")
_OF_FILES: Final = frozenset("json csv parquet arrow text pandas xml webdataset imagefolder audiofolder".split())
"""What `datasets` calls its readers of files; a `dataset_path` of these is no data set of the hub."""


@dataclass(frozen=True)
class TaskData:
    """A data set of the hub that tasks are scored on."""

    path: str
    """Repository, such as facebook/xnli."""
    config: str | None
    split: str | None
    """The one that is scored; None where a task file names none."""
    tasks: tuple[str, ...]


def task_data(names: Sequence[str], include: Path | None = None) -> list[TaskData]:
    """The data sets of tasks, groups and tags, each once with all its tasks.

    include: a folder with task files of one's own, which come before lm-eval's.

    Raises:
        NotPossibleError: lm-eval is not installed, or there is no such folder.
    """
    known = {**stock_names(), **own_names(include)}
    tasks: dict[tuple[str, str | None, str | None], list[str]] = {}
    for name, config in _leaves(names, known, set()):
        path = config.get("dataset_path")
        if not isinstance(path, str) or config.get("custom_dataset") is not None:
            continue
        if path in _OF_FILES or not _HUB_ID.fullmatch(path) or Path(path).exists():
            continue
        split = config.get("test_split") or config.get("validation_split")
        tasks.setdefault((path, _text(config.get("dataset_name")), _text(split)), []).append(name)
    return [TaskData(*key, tuple(dict.fromkeys(of_key))) for key, of_key in tasks.items()]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _leaves(
    names: Sequence[Any], known: Mapping[str, Sequence[Named]], seen: set[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tasks that names stand for, with what their files say; a group's members may be names or whole tasks."""
    for name in names:
        if isinstance(name, Mapping):
            yield from _of_config(str(name.get("task") or name.get("group") or ""), name, known, seen)
        elif name not in seen:
            seen.add(name)
            for place in known.get(name, ()):
                yield from _of_config(name, _read(place.path), known, seen)


def _of_config(
    name: str, config: Mapping[str, Any], known: Mapping[str, Sequence[Named]], seen: set[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    members = config.get("task")
    if isinstance(members, list):
        yield from _leaves(members, known, seen)
    elif "dataset_path" in config:
        yield (str(members or name), config)
    elif isinstance(members, str) and members != name:
        yield from _leaves([members], known, seen)


def _read(path: Path) -> Mapping[str, Any]:
    """What a task file says, with what the files that it includes say; lm-eval's own reader imports `datasets`, which
    takes seconds."""
    from ruamel.yaml import YAML

    loader = YAML(typ="safe", pure=True)
    loader.Constructor = _constructor()
    config = loader.load(path.read_text(encoding="utf-8"))
    if not isinstance(config, Mapping):
        return {}
    included = config.get("include")
    merged: dict[str, Any] = {}
    for file in included if isinstance(included, list) else [included]:
        if isinstance(file, str):
            merged.update(_read(path.parent / file))
    return merged | dict(config)


@cache
def _constructor() -> type:
    """Of plain values; `!function` names code, which nothing here needs."""
    from ruamel.yaml.constructor import SafeConstructor

    class TaskConstructor(SafeConstructor):
        pass

    TaskConstructor.add_multi_constructor("!", lambda *_: None)
    return TaskConstructor
