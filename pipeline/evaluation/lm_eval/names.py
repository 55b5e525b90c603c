"""lm-eval's tasks, groups and tags by name, found without parsing its files.

`lm_eval.tasks.TaskManager()` parses some ten thousand YAML files, which takes nine seconds. Here the names are read
with one regular expression over the same files, and over those of a folder of one's own (lm-eval's `include_path`).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pipeline.base.errors import NotPossibleError
from pipeline.base.suggestions import nearest
from pipeline.evaluation.lm_eval.archive_data import served, serves

_NAMED: Final = re.compile(rb"""^["']?(task|group|tag)["']?\s*:\s*["']?([\w.\-/ ]+?)["']?\s*(?:#.*)?$""", re.MULTILINE)
_TAGS: Final = re.compile(rb"^tag\s*:\s*\n((?:\s*-\s*\S+\s*\n)+)", re.MULTILINE)

MORE_TASKS: Final = Path(__file__).with_name("more_tasks")
"""Task files of benchmarks that lm-eval has none for."""
COMMON: Final = frozenset(
    "hellaswag arc_easy arc_challenge piqa winogrande openbookqa boolq sciq copa lambada_openai mmlu truthfulqa_mc1 "
    "truthfulqa_mc2 wikitext blimp xstorycloze belebele".split()
)
"""Names that every lm-eval has, which are known without reading its files."""


@dataclass(frozen=True)
class Named:
    """A name lm-eval knows and the file that defines it."""

    kind: str
    path: Path


@cache
def stock_names() -> dict[str, tuple[Named, ...]]:
    """Every task, group and tag of the installed lm-eval, with the files that define it (a tag has several), and those
    of the project's own that it lacks."""
    return _names_in(MORE_TASKS) | _names_in(stock_folder())


def stock_folder() -> Path:
    """Where the installed lm-eval keeps its tasks; found without importing it."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise NotPossibleError("lm-eval is not installed: pip install 'lm-eval>=0.4.13'", passing=True)
    return Path(spec.origin).parent / "tasks"


def own_names(folder: Path | None) -> dict[str, tuple[Named, ...]]:
    """Every task, group and tag of a folder of one's own; none without a folder.

    Raises:
        NotPossibleError: there is no such folder, or no task file in it.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise NotPossibleError(f"include_path: {folder.absolute()} is not a folder", passing=True)
    names = _names_in(folder)
    if not names:
        raise NotPossibleError(
            f"include_path: {folder.absolute()} has no task file of lm-eval: a .yaml file with `task: NAME`",
            passing=True,
        )
    return names


def _names_in(folder: Path) -> dict[str, tuple[Named, ...]]:
    places: dict[str, list[Named]] = {}
    for path in sorted(folder.glob("**/*.yaml")):
        text = path.read_bytes()
        for kind, name in _NAMED.findall(text):
            places.setdefault(name.decode(), []).append(Named(kind.decode(), path))
        for block in _TAGS.findall(text):
            for name in re.findall(rb"-\s*[\"']?([^\s\"']+)", block):
                places.setdefault(name.decode(), []).append(Named("tag", path))
    return {name: tuple(definitions) for name, definitions in places.items()}


def check_tasks(names: Iterable[str], *, data: str = "hub", include: Path | None = None) -> None:
    """Refuse names that neither lm-eval nor the folder `include` knows, with the nearest there are, and with
    `data: archive` tasks the archive has no items for.

    Raises:
        NotPossibleError: before anything is downloaded, loaded or scored.
    """
    own = own_names(include)
    asked = [name for name in names if name not in own]
    stock: Collection[str] = COMMON if COMMON.issuperset(asked) else stock_names()
    for name in asked:
        if name not in stock:
            near = nearest(name, [*own, *stock], most=4, least_alike=0.5)
            hint = f"the nearest it has are {', '.join(near)}" if near else "`lm_eval ls tasks` lists its tasks"
            where = f", and {include} has no task file of it" if include else ""
            raise NotPossibleError(f"lm-eval has no task named {name!r}{where}; {hint}", passing=True)
        if data == "archive" and not serves(name):
            raise NotPossibleError(
                f"the package archive has no items for the task {name}: set `data: hub` in its suite, or choose from "
                f"{served()}",
                passing=True,
            )
