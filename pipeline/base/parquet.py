"""Reading the project's own Parquet files: what a damaged one makes Arrow raise names the file and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.base.errors import CurationError
from pipeline.base.exhaustion import is_out_of_memory

DAMAGED = "run `squeeze verify` to see what else is damaged, and materialize the asset that wrote it again"


@contextmanager
def reading(path: Path, error: Callable[[str], Exception] = CurationError) -> Iterator[None]:
    """Raise `error`, naming the file, for whatever reading it in the block raises."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as reason:  # a text that is no UTF-8, a gap
        if is_out_of_memory(reason):
            raise
        why = str(reason).partition("\n")[0]
        raise error(f"{path}: missing, cut short or damaged ({why}); {DAMAGED}") from reason


def read_table(path: Path, **how: Any) -> pa.Table:
    """A whole file; `how` as for `pyarrow.parquet.read_table`. Raises CurationError where it is damaged."""
    import pyarrow.parquet as pq

    with reading(path):
        table = pq.read_table(path, **how)
        table.validate(full=True)
        return table


def read_metadata(path: Path) -> Any:
    """What a file's footer says. Raises CurationError where it is damaged."""
    import pyarrow.parquet as pq

    with reading(path):
        return pq.read_metadata(path)
