"""What a selection kept of a corpus's documents, read: all that needs the kept text begins here.

In: the folders of `documents/<corpus>` and `corpus/<corpus>`. Out: batches of the documents that were kept, by file or
as one stream. Apart from `pipeline.curation.selection`, which decides what is kept: reading takes none of its filters
and settings, whose import weighs as much as reading 50 MB of text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import from_numbers, numbers
from pipeline.base.errors import CurationError
from pipeline.base.parquet import read_metadata, read_table
from pipeline.curation.doc_ids import DOC_ID
from pipeline.curation.passages.cutting import Cuts
from pipeline.curation.tables import iter_file, parts

SELECTION_FILE: Final = "selection.parquet"
SCHEMA: Final = pa.schema([pa.field("row", pa.int64(), nullable=False), pa.field("doc_id", DOC_ID, nullable=False)])


@dataclass(frozen=True)
class SelectedPart:
    """What is kept of one file of documents: all that a worker needs to read it."""

    path: Path
    rows: np.ndarray
    """Places within the file, int64, ascending."""
    ids: pa.Array
    """The documents' ids, by which another file at this path is told."""
    selection: Path
    cuts: Cuts | None = None
    """What is cut out of them, by places within the file."""

    def iter_batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches of the documents that were kept, in their order, a row group (about 8 MB of text) at a time."""
        start = 0
        cut = self.cuts is not None and len(self.cuts.rows) > 0 and not {"text", "bytes"}.isdisjoint(columns)
        for batch in iter_file(self.path, list(dict.fromkeys([*columns, "doc_id", *(["text"] if cut else [])]))):
            low, high = np.searchsorted(self.rows, [start, start + batch.num_rows])
            if low < high:
                whole = high - low == batch.num_rows  # as where a corpus keeps nearly everything: nothing is copied
                kept = batch if whole else batch.take(from_numbers(self.rows[low:high] - start))
                if not kept.column("doc_id").equals(self.ids.slice(low, high - low)):
                    raise CurationError(
                        f"{self.selection} selects other documents than {self.path.parent} holds: they do not belong "
                        "together; materialize the corpus again"
                    )
                if cut and self.cuts is not None:
                    kept = self.cuts.applied(kept, self.rows[low:high])
                yield kept.select(list(columns))
            start += batch.num_rows


def selected_parts(documents: Path, selection: Path) -> list[SelectedPart]:
    """The files of documents with what is kept of each, in their order; arguments and errors as `iter_selected`."""
    path = selection / SELECTION_FILE
    if not path.is_file():
        raise CurationError(f"{path} is missing: the corpus was not built")
    selected = read_table(path, columns=["row", "doc_id"])
    rows, ids = numbers(selected.column("row")), selected.column("doc_id").combine_chunks()
    found, start, cuts = [], 0, Cuts.of(selection)
    for part in parts(documents):
        stop = start + read_metadata(part).num_rows
        low, high = np.searchsorted(rows, [start, stop])
        of_part = None if cuts is None else cuts.between(start, stop)
        found.append(SelectedPart(part, rows[low:high] - start, ids.slice(low, high - low), path, of_part))
        start = stop
    if len(rows) and rows[-1] >= start:
        raise CurationError(
            f"{path} selects row {rows[-1]}, but {documents} has {start} rows: they do not belong together"
        )
    return found


def iter_selected(documents: Path, selection: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Batches of the documents that were kept, in their order, a row group (about 8 MB of text) at a time.

    Args:
        documents: folder of `documents/<corpus>`.
        selection: folder of `corpus/<corpus>`, made from these documents.
        columns: columns of the documents, see `pipeline.curation.documents.SCHEMA`.

    Raises:
        CurationError: a folder lacks its files, or the selection has rows past the documents' end.
    """
    for part in selected_parts(documents, selection):
        yield from part.iter_batches(columns)
