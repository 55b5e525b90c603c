"""The asset `corpus/<corpus>` where passages are cut: a selection without what an earlier document says already.

In: `selected/<corpus>`, a selection as `pipeline.curation.selection` makes it, and the passages. Out: the same files,
with `cuts.parquet` beside them, by which the documents are read from now on. A document of which too little is left is
removed as a whole. The waterfall goes on with a step for each kind, which counts the bytes that were cut and shows
some.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.canonical import text_hash
from pipeline.base.errors import CurationError
from pipeline.base.parquet import read_metadata, read_table
from pipeline.curation.croissant import write_croissant
from pipeline.curation.passages.cutting import CUTS_FILE, Cuts, without
from pipeline.curation.passages.cutting import SCHEMA as CUTS
from pipeline.curation.passages.finding import PASSAGES_FILE, KeptRows
from pipeline.curation.selected import SCHEMA, SELECTION_FILE, iter_selected, selected_parts
from pipeline.curation.selection import REMOVED, SelectionSummary
from pipeline.curation.settings import CorpusSettings, PassageSettings
from pipeline.curation.tables import hash_batches, iter_file, write_table
from pipeline.curation.waterfall import Example, WaterfallStep

CUT_CORPUS_VERSION: Final = "1"
STEPS: Final = {"passage": "repeated passages", "line": "repeated lines"}
TOO_LITTLE: Final = "too little left"
_EXAMPLES: Final = 3
_EXCERPT: Final = 200


def cut_corpus(
    corpus: str,
    settings: CorpusSettings,
    passages: PassageSettings,
    summary: SelectionSummary,
    documents: Path,
    selected: Path,
    found: Path,
    out: Path,
) -> SelectionSummary:
    """Write the selection of a corpus with what is cut out of its documents.

    Args:
        corpus: name.
        settings: its description and licence.
        passages: how much of a document must be left.
        summary: of `selected`.
        documents, selected, found: folders of `documents/<corpus>`, `selected/<corpus>` and `passages`.
        out: output folder.

    Raises:
        CurationError: nothing is left.
    """
    table = read_table(found / PASSAGES_FILE, filters=[("corpus", "=", corpus)])
    table = table.sort_by([("row", "ascending"), ("start", "ascending")])
    selection = read_table(selected / SELECTION_FILE)
    rows = selection.column("row").to_numpy()
    work = _Cutting(table, passages.least_left)
    start = 0
    for batch in iter_selected(documents, selected, ("text", "bytes", "lang")):
        work.add(batch, rows[start : start + batch.num_rows])
        start += batch.num_rows
    gone = np.array(sorted(work.gone), dtype=np.int64)
    stays = pa.array(~np.isin(rows, gone))
    kept = selection.filter(stays)
    if not kept.num_rows:
        raise CurationError(
            f"corpus {corpus!r} has no documents left after repeated passages were cut: raise "
            "`curation.passages.least_bytes`, or lower `least_left`"
        )
    write_table(out / SELECTION_FILE, kept.to_pydict(), SCHEMA)
    _write_removed(selected, selection.filter(pc.invert(stays)), work.gone, out)
    cuts = work.cuts
    write_table(out / CUTS_FILE, {"row": cuts.rows, "start": cuts.starts, "stop": cuts.stops}, CUTS)
    digest = text_hash(
        hash_batches(iter_file(out / SELECTION_FILE, SCHEMA.names), SCHEMA.names)
        + hash_batches(iter_file(out / CUTS_FILE, CUTS.names), CUTS.names)
    )
    languages = {lang: size for lang, size in work.languages.most_common() if size}
    write_croissant(corpus, settings, languages, kept.num_rows, digest, out)
    steps = [*summary.waterfall, *work.steps(summary.waterfall[-1])]
    return SelectionSummary(digest, kept.num_rows, steps[-1].bytes, languages, steps, summary.domains)


def kept_rows(documents: Path, selected: Path) -> list[KeptRows]:
    """The documents that a selection keeps, file by file, as passages are looked for in them."""
    first, found = 0, []
    for part in selected_parts(documents, selected):
        found.append(KeptRows(part.path, part.rows, first))
        first += read_metadata(part.path).num_rows
    return found


def _write_removed(selected: Path, rows: pa.Table, left: dict[int, int], out: Path) -> None:
    before = read_table(selected / "removed.parquet")
    details = [f"{left[row]} bytes are left" for row in rows.column("row").to_pylist()]
    steps = pa.array([TOO_LITTLE] * rows.num_rows, pa.string())
    now = pa.Table.from_arrays([*rows.columns, steps, pa.array(details, pa.string())], schema=REMOVED)
    write_table(out / "removed.parquet", pa.concat_tables([before.cast(REMOVED), now]).to_pydict(), REMOVED)


class _Cutting:
    """Cuts documents, and counts what goes by kind."""

    def __init__(self, passages: pa.Table, least_left: int) -> None:
        self._passages, self._least_left = passages, least_left
        self._rows = passages.column("row").to_numpy()
        self.languages: Counter[str] = Counter()
        self.gone: dict[int, int] = {}
        """Rows that go, with the bytes that were left of each."""
        self._cuts: list[tuple[int, int, int]] = []
        self._bytes: Counter[str] = Counter()
        self._examples: dict[str, list[Example]] = {}

    def add(self, batch: pa.RecordBatch, rows: np.ndarray) -> None:
        """Look at some documents."""
        low, high = np.searchsorted(self._rows, rows), np.searchsorted(self._rows, rows, side="right")
        for place, (row, size, lang) in enumerate(
            zip(rows.tolist(), batch.column("bytes").to_pylist(), batch.column("lang").to_pylist(), strict=True)
        ):
            left = size
            if high[place] > low[place]:
                some = self._passages.slice(low[place], high[place] - low[place]).to_pylist()
                left = self._cut(row, batch.column("text")[place].as_py(), size, some)
            self.languages[lang] += left

    def _cut(self, row: int, text: str, size: int, found: list[dict[str, Any]]) -> int:
        """What is left of a document, in bytes: first without its passages, then without its lines."""
        stretches: list[tuple[int, int]] = []
        left = size
        for kind in STEPS:
            of_kind = [item for item in found if item["kind"] == kind]
            if not of_kind:
                continue
            stretches = _union([*stretches, *((item["start"], item["stop"]) for item in of_kind)])
            now = len(_without(text, stretches).encode("utf-8"))
            self._bytes[kind] += left - now
            left = now
            examples = self._examples.setdefault(kind, [])
            if len(examples) < _EXAMPLES:
                first = of_kind[0]
                data = text.encode("utf-8")[first["start"] : first["stop"]]
                detail = f"{len(data):,} bytes, first in {first['first_corpus']} row {first['first_row']}"
                examples.append(Example(row, detail, data.decode("utf-8", errors="ignore")[:_EXCERPT]))
        if left < self._least_left:
            self.gone[row] = left
            self._bytes[TOO_LITTLE] += left
            return 0
        self._cuts += [(row, *stretch) for stretch in stretches]
        return left

    @property
    def cuts(self) -> Cuts:
        """What is cut out of the documents that stay."""
        columns = np.array(self._cuts, dtype=np.int64).reshape(-1, 3)
        return Cuts(columns[:, 0], columns[:, 1].astype(np.uint32), columns[:, 2].astype(np.uint32))

    def steps(self, before: WaterfallStep) -> list[WaterfallStep]:
        """The steps that follow a selection's last."""
        steps, documents, size = [], before.documents, before.bytes
        for kind, name in {**STEPS, TOO_LITTLE: TOO_LITTLE}.items():
            removed = len(self.gone) if kind == TOO_LITTLE else 0
            documents, size = documents - removed, size - self._bytes[kind]
            steps.append(WaterfallStep(name, removed, self._bytes[kind], documents, size, self._examples.get(kind, [])))
        return steps


def _union(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches that overlap or touch put together, rising."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged


def _without(text: str, stretches: list[tuple[int, int]]) -> str:
    starts, stops = (np.array(ends, dtype=np.int64) for ends in zip(*stretches, strict=True))
    return without(text, starts, stops)
