"""The asset `quality/<model>/<corpus>`: every document's score and its quantile, in the documents' order.

In: the documents of a corpus and a model. Out: `scores.parquet`, a row a document: `score`, and `quantile`, the share
of the corpus's bytes in documents with a lower score, both float32. A threshold is over these columns, so changing one
reads them and no text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.errors import CurationError
from pipeline.base.executor import Executor
from pipeline.base.files import remove_unfinished, whole_path
from pipeline.base.finished import finish, is_finished
from pipeline.base.parquet import read_metadata, read_table
from pipeline.curation.documents import GIVEN_SCORE
from pipeline.curation.filters.quality_thresholds import quantile_column, score_column
from pipeline.curation.quality.embedding import TOKENIZER_FILE, TokenReader
from pipeline.curation.quality.linear import LinearModel
from pipeline.curation.quality.ngrams import Ngrams, ngram_blocks
from pipeline.curation.quality.ranking import Agreement, agreement_of
from pipeline.curation.quality.training import MODEL_FILE
from pipeline.curation.tables import WORTH_BYTES, hash_batches, iter_file, iter_parts, parts, write_table

QUALITY_VERSION: Final = "1"
SCORES_FILE: Final = "scores.parquet"
SCHEMA: Final = pa.schema(
    [pa.field("score", pa.float32(), nullable=False), pa.field("quantile", pa.float32(), nullable=False)]
)
QUANTILES: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


@dataclass(frozen=True)
class QualitySummary:
    """Scores of a corpus. `quantiles` are of bytes: at 0.25, a quarter of the text has a lower score than this."""

    content_hash: str
    documents: int
    bytes: int
    mean: float
    """Over bytes."""
    quantiles: dict[str, float]
    agreement: Agreement | None = None
    """With the scores that documents came with, where the sources have a `score_field`."""


def score_corpus(documents: Path, model: Path, out: Path, *, executor: Executor) -> QualitySummary:
    """Write the scores of a corpus to `out/scores.parquet`, going on from finished parts there.

    Args:
        documents: folder of `documents/<corpus>`.
        model: folder of `quality_model/<name>`.
        out: output folder.
        executor: shares out the parts. Never changes the result.
    """
    remove_unfinished(out)
    there = parts(documents)
    done = [out / f"{part.stem}.npy" for part in there]
    tasks = [(part, model, path) for part, path in zip(there, done, strict=True) if not is_finished(path)]
    sizes = np.concatenate([batch.column("bytes").to_numpy() for batch in iter_parts(documents, ("bytes",))])
    for _ in executor.map(score_part, tasks, worth=int(sizes.sum()) > WORTH_BYTES):
        pass
    scores = np.concatenate([np.load(path, allow_pickle=False) for path in done])
    places = quantiles_of(scores, sizes)
    path = out / SCORES_FILE
    write_table(path, {"score": scores, "quantile": places}, SCHEMA)
    for part in done:
        part.unlink()
    total = int(sizes.sum())
    order = np.argsort(scores, kind="stable")
    at = np.searchsorted(np.cumsum(sizes[order], dtype=np.int64), np.array(QUANTILES) * total)
    return QualitySummary(
        content_hash=hash_batches(iter_file(path, SCHEMA.names), SCHEMA.names),
        documents=len(scores),
        bytes=total,
        mean=round(float(np.average(scores, weights=sizes)), 6),
        quantiles={
            f"{share:g}": round(float(scores[order[place]]), 6) for share, place in zip(QUANTILES, at, strict=True)
        },
        agreement=agreement_of(_given(there), scores),
    )


def _given(files: Sequence[Path]) -> np.ndarray:
    """The scores that documents came with, float32 [N]; not numbers where they came with none."""
    given = [np.empty(0, np.float32)]
    for part in files:
        described = read_metadata(part)
        if GIVEN_SCORE in described.schema.names:
            given += [batch.column(GIVEN_SCORE).to_numpy() for batch in iter_file(part, (GIVEN_SCORE,))]
        else:
            given.append(np.full(described.num_rows, np.nan, np.float32))
    return np.concatenate(given)


def score_part(part: Path, model: Path, out: Path) -> None:
    """Write the scores of one file of documents, float32 [N]."""
    linear = LinearModel.read(model / MODEL_FILE)
    view = TokenReader((model / TOKENIZER_FILE).read_text(encoding="utf-8")).read if linear.embedded else None
    scores = [
        linear.scores(block).astype(np.float32)
        for batch in iter_file(part, ("text",))
        for block in _seen(batch.column("text"), linear, view)
    ]
    with whole_path(out) as unfinished, unfinished.open("wb") as file:
        np.save(file, np.concatenate([np.empty(0, np.float32), *scores]))
    finish(out)


def _seen(texts: pa.Array, linear: LinearModel, view: Callable[[pa.Array], Ngrams] | None) -> Iterator[Ngrams]:
    """What a model sees of texts, a block of them after the other."""
    return ngram_blocks(texts, linear.ngram, linear.bits) if view is None else iter([view(texts)])


def quantiles_of(scores: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The share of all bytes in documents with a lower score, float32 [N]; equal scores have the same."""
    values, which = np.unique(scores, return_inverse=True)
    of_value = np.bincount(which, weights=sizes, minlength=len(values))
    below = np.cumsum(of_value) - of_value
    return (below / max(float(of_value.sum()), 1.0))[which].astype(np.float32)


class QualityScores:
    """The stored scores of one corpus by several models, as columns beside its documents: 8 bytes a document each."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """folders: of `quality/<model>/<corpus>` by model. Raises CurationError where a file is not there."""
        self._columns: dict[str, np.ndarray] = {}
        for model, folder in folders.items():
            path = folder / SCORES_FILE
            if not path.is_file():
                raise CurationError(f"{path} is missing: materialize the scores of the model {model!r}")
            table = read_table(path, columns=SCHEMA.names)
            self._columns[score_column(model)] = table.column("score").to_numpy()
            self._columns[quantile_column(model)] = table.column("quantile").to_numpy()

    def beside(self, batch: pa.RecordBatch, rows: np.ndarray) -> pa.RecordBatch:
        """The batch with the scores of its documents, which are these rows (int64 [N]) of the corpus."""
        for name, values in self._columns.items():
            if len(rows) and rows[-1] >= len(values):
                raise CurationError(
                    f"{name} has {len(values):,} scores and the corpus has more documents: they do not belong "
                    "together; materialize the scores again"
                )
            batch = batch.append_column(name, pa.array(values[rows]))
        return batch
