"""What a page shows of an artifact that is rows in Parquet files: their number, their columns, the first of them.

In: an artifact's folder. Out: metadata under the names that Dagster's catalog knows. Text of documents stands in cells
of a table, which the UI never reads as markdown; only a file's footer and its first rows are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.metadata import table

PREVIEWED: Final = 5
EXCERPT: Final = 100
"""Characters of a document in a preview: more makes a table that no page holds."""


def rows_metadata(rows: int, folder: Path, files: str = "*.parquet") -> dict[str, Any]:
    """The number of rows and the columns of the files that match, which all have the same."""
    import pyarrow.parquet as pq

    shown: dict[str, Any] = {"dagster/row_count": rows}
    if (file := _first(folder, files)) is not None:
        columns = [
            dg.TableColumn(field.name, str(field.type), constraints=dg.TableColumnConstraints(nullable=field.nullable))
            for field in pq.read_schema(file)
        ]
        shown["dagster/column_schema"] = dg.MetadataValue.table_schema(dg.TableSchema(columns))
    return shown


def documents_preview(folder: Path, files: str = "*.parquet") -> dict[str, Any]:
    """The beginnings of the first documents with their language and size; nothing where there are none."""
    import pyarrow.parquet as pq

    if (file := _first(folder, files)) is None:
        return {}
    with pq.ParquetFile(file) as rows:
        batch = next(rows.iter_batches(PREVIEWED, columns=["text", "lang", "bytes"]), None)
    if batch is None or not batch.num_rows:
        return {}
    return {
        "preview": table(
            [
                {"language": row["lang"], "bytes": row["bytes"], "begins with": excerpt(row["text"])}
                for row in batch.to_pylist()
            ]
        )
    }


def excerpt(text: str) -> str:
    """The beginning of a text in one line."""
    line = " ".join(text[: 4 * EXCERPT].split())
    return line if len(line) <= EXCERPT else f"{line[:EXCERPT]}…"


def _first(folder: Path, files: str) -> Path | None:
    return min(folder.glob(files), default=None)
