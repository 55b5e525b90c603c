"""A curated corpus as whatever is built from one takes it: three folders, read as two streams of batches.

Memory is bounded by one row group (about 8 MB of text); rows come in the documents' order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.curation.heldout import iter_heldout
from pipeline.curation.selected import SelectedPart, iter_selected, selected_parts


@dataclass(frozen=True)
class CuratedCorpus:
    """Where a curated corpus is: the folders of its documents, its selection and its held-out documents."""

    documents: Path
    selection: Path
    heldout: Path

    def iter_selected(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches of the documents that were kept; raises as the function of this name."""
        return iter_selected(self.documents, self.selection, columns)

    def selected_parts(self) -> list[SelectedPart]:
        """The files of documents with what was kept of each; raises as the function of this name."""
        return selected_parts(self.documents, self.selection)

    def iter_heldout(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batches of the held-out documents; raises as the function of this name."""
        return iter_heldout(self.heldout, columns)
