"""Reading curated text: the rows of `documents/<corpus>` that a selection keeps, and the held-out documents.

Memory is bounded by one row group (about 8 MB of text); rows come in the documents' order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base.errors import CurationError
from pipeline.curation.tables import iter_file, iter_parts

COLUMNS = ("doc_id", "text", "bytes", "lang")


@dataclass(frozen=True)
class CuratedCorpus:
    """Where a curated corpus is: the folders of its documents, its selection and its held-out documents."""

    documents: Path
    selection: Path
    heldout: Path

    def iter_selected(self, columns: Sequence[str] = COLUMNS) -> Iterator[pa.RecordBatch]:
        """Batches of the documents that were kept; raises as the function of this name."""
        return iter_selected(self.documents, self.selection, columns)

    def iter_heldout(self, columns: Sequence[str] = COLUMNS) -> Iterator[pa.RecordBatch]:
        """Batches of the held-out documents; raises as the function of this name."""
        return iter_heldout(self.heldout, columns)


def iter_selected(documents: Path, selection: Path, columns: Sequence[str] = COLUMNS) -> Iterator[pa.RecordBatch]:
    """Batches of the documents that were kept.

    Args:
        documents: folder of `documents/<corpus>`.
        selection: folder of `corpus/<corpus>`, made from these documents.
        columns: columns of the documents, see `pipeline.curation.documents.SCHEMA`.

    Raises:
        CurationError: a folder lacks its files, or the selection has rows past the documents' end.
    """
    path = selection / "selection.parquet"
    if not path.is_file():
        raise CurationError(f"{path} is missing: the corpus was not built")
    selected = pq.read_table(path, columns=["row", "doc_id"])
    rows, ids = selected.column("row").to_numpy(), selected.column("doc_id").combine_chunks()
    first = 0
    for batch in iter_parts(documents, list(dict.fromkeys([*columns, "doc_id"]))):
        low, high = np.searchsorted(rows, [first, first + batch.num_rows])
        if low < high:
            taken = batch.take(pa.array(rows[low:high] - first))
            if not taken.column("doc_id").equals(ids.slice(low, high - low)):
                raise CurationError(
                    f"{path} selects other documents than {documents} holds: they do not belong together; materialize "
                    "the corpus again"
                )
            yield taken.select(list(columns))
        first += batch.num_rows
    if len(rows) and rows[-1] >= first:
        raise CurationError(
            f"{path} selects row {rows[-1]}, but {documents} has {first} rows: they do not belong together"
        )


def iter_heldout(heldout: Path, columns: Sequence[str] = COLUMNS) -> Iterator[pa.RecordBatch]:
    """Batches of the held-out documents in `heldout`, the folder of `heldout/<corpus>`."""
    path = heldout / "heldout.parquet"
    if not path.is_file():
        raise CurationError(f"{path} is missing: the held-out split was not built")
    yield from (batch.select(list(columns)) for batch in iter_file(path, columns))
