"""Which files a configuration and split of a data set are, at a commit.

In: a pinned data set. Out: its files in the order that `datasets` reads them in, and what kind they are; by the
README's `configs`, or as `datasets` finds them by their names. It is `datasets` that finds them, once for each commit:
the answer is kept in the cache, so no further source, part, process or profile asks the hub about it, and a machine
without network goes on from what was fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pipeline.base.errors import SourceError
from pipeline.base.files import write_json
from pipeline.curation.sources.hub.kept import FOLDER, folder_of
from pipeline.curation.sources.hub.patience import Patience
from pipeline.curation.sources.settings import HubDataset
from trainer.records import check, parse_json

T = TypeVar("T")

_COMMIT: Final = re.compile("[0-9a-f]{40}")
_SECONDS: Final = 30.0
_PREPARED: Final = "datasets.packaged_modules.cache."


@dataclass(frozen=True)
class Catalog:
    """The files of one configuration and split."""

    kind: str
    """What `datasets` reads them as: `parquet`, `json`, `csv`, `text`."""
    files: list[str]
    """Paths in the repository."""

    @property
    def is_parquet(self) -> bool:
        return self.kind == "parquet"


def where_of(dataset: HubDataset) -> str:
    """A data set in words, for messages."""
    return f"data set {dataset.id} ({dataset.config or 'default'}, {dataset.split}) at revision {dataset.revision}"


def commit_of(dataset: HubDataset, cache: Path | None = None) -> str:
    """The commit that the data set's revision names now: itself, or what its branch or tag points to.

    cache: where the commit is looked up that was fetched, on a machine that is set to stay offline.

    Raises:
        SourceError: the data set does not exist or is gated, has no such revision, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.constants import is_offline_mode

    if _COMMIT.fullmatch(dataset.revision):
        return dataset.revision
    named = cache / FOLDER / dataset.id.replace("/", "--") / "branches.json" if cache is not None else None
    known = (_kept(named, dict[str, str]) if named is not None else None) or {}
    if dataset.revision in known and is_offline_mode():
        return known[dataset.revision]

    def ask() -> str:
        return str(HfApi().dataset_info(dataset.id, revision=dataset.revision, timeout=_SECONDS).sha)

    commit = Patience(where_of(dataset)).call(ask)
    if named is not None and known.get(dataset.revision) != commit:
        write_json(named, known | {dataset.revision: commit})
    return commit


def catalog_of(dataset: HubDataset, cache: Path) -> Catalog:
    """The files of a data set's configuration and split; its revision is a commit.

    Raises:
        SourceError: the data set does not exist or is gated, has no such configuration or split, or the hub cannot be
            reached.
    """
    name = f"{dataset.config or 'default'}--{dataset.split}".replace("/", "_")
    record = folder_of(cache, dataset.id, dataset.revision) / f"{name}.files.json"
    kept = _kept(record, Catalog)
    if kept is not None:
        return kept
    catalog = Patience(where_of(dataset)).call(lambda: _found(dataset, cache))
    write_json(record, {"kind": catalog.kind, "files": catalog.files})
    return catalog


def _kept(record: Path, kind: type[T]) -> T | None:
    """What was written down of the hub; None where nothing was, or it is damaged: the hub is asked again."""
    try:
        return check(kind, parse_json(record.read_bytes()))
    except (OSError, ValueError):
        return None


def _found(dataset: HubDataset, cache: Path) -> Catalog:
    builder = builder_of(dataset, cache)
    files: dict[str, Any] = builder.config.data_files or {}
    if dataset.split not in files:
        raise SourceError(
            f"data set {dataset.id} ({dataset.config or 'default'}) has no split {dataset.split!r}; it has "
            f"{', '.join(map(str, files)) or 'none'}. Set `split`."
        )
    prefix = f"hf://datasets/{dataset.id}@{dataset.revision}/"
    paths = [str(path).removeprefix(prefix) for path in files[dataset.split]]
    return Catalog(type(builder).__module__.split(".")[-1], paths)


def builder_of(dataset: HubDataset, cache: Path) -> Any:
    """What `datasets` makes the data set with.

    Its own cache is a folder in which it prepares nothing. In the usual one it falls back, where the hub does not
    answer, to a copy that somebody prepared of whatever revision, without a word but a warning.
    """
    from datasets import load_dataset_builder

    builder = load_dataset_builder(
        dataset.id, dataset.config, revision=dataset.revision, cache_dir=str(cache / FOLDER / "datasets")
    )
    if type(builder).__module__.startswith(_PREPARED):
        raise SourceError(
            f"{where_of(dataset)} cannot be read from the hub, and a copy that was prepared of another revision is not "
            f"taken for it: remove {cache / FOLDER / 'datasets'} and run again"
        )
    return builder
