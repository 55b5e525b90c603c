"""Reading the project's own Parquet files: what a damaged one makes Arrow raise names the file and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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


def read_table(
    path: Path,
    *,
    columns: Sequence[str] | None = None,
    filters: Sequence[tuple[str, str, Any]] | None = None,
    read_dictionary: Sequence[str] | None = None,
) -> pa.Table:
    """A whole file, or columns of it in their order; the rest as for `pyarrow.parquet.read_table`.

    Raises CurationError where it is damaged or lacks a column.
    """
    import pyarrow.parquet as pq

    with reading(path):
        if filters is None:
            # not `pq.read_table`: that loads Arrow's data sets and pandas, which takes as long as 100 MB of text
            with pq.ParquetFile(path, read_dictionary=read_dictionary) as file:
                table = file.read(columns=columns)
            table = table if columns is None else table.select(list(columns))
        else:
            table = pq.read_table(path, columns=columns, filters=filters, read_dictionary=read_dictionary)
        table.validate(full=True)
        return table


def read_metadata(path: Path) -> Any:
    """What a file's footer says. Raises CurationError where it is damaged."""
    import pyarrow.parquet as pq

    with reading(path):
        return pq.read_metadata(path)
