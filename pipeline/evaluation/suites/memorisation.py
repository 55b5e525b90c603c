"""How much cheaper text is that a model was trained on than text of the same source that it was not.

Each held-out document is put beside one that the run's shards hold, of the same corpus and language and about as long,
and both are cut to the same bytes. The difference in bits per byte is what the model keeps of texts it has
read; a model that has learned a language and no text shows none. Its interval is over pairs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field

from pipeline.base.errors import NotPossibleError
from pipeline.base.files import whole_path
from pipeline.base.numbers import with_error
from pipeline.base.settings import runtime
from pipeline.evaluation.heldout import Heldout, encode_exactly, read_heldout
from pipeline.evaluation.item_values import ItemValues, item_rows, item_values, ratio_stderr
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.read_text import Pair, pairs_of, read_documents
from pipeline.evaluation.results import Details, Score, SuiteResult, fields_from, finish
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings

MEMORISATION_VERSION: Final = "1"
PAIRS_FILE: Final = "pairs.parquet"
MEMORISED: Final = "memorised_bits_per_byte"
INTERVAL: Final = 1.96
"""Standard errors on each side of a 95% interval."""


@dataclass(frozen=True)
class MemorisedRow:
    """One corpus."""

    corpus: str
    pairs: int
    bytes: int
    """Of either side."""
    heldout: float
    """Bits per byte of the held-out side."""
    read: float
    """Bits per byte of the side that the model was trained on."""
    stderr: float | None

    @property
    def difference(self) -> float:
        return self.heldout - self.read


@dataclass(frozen=True)
class MemorisationDetails(Details):
    """All corpora."""

    items_file: ClassVar[str] = PAIRS_FILE
    rows: tuple[MemorisedRow, ...]
    notes: Sequence[str] = ()

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        return fields_from(cls, {**body, "rows": tuple(fields_from(MemorisedRow, row) for row in body["rows"])})

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "corpus": row.corpus,
                "pairs": row.pairs,
                "bytes of each side": row.bytes,
                "held out": f"{row.heldout:.4f}",
                "trained on": f"{row.read:.4f}",
                "memorised, bits/byte": with_error(row.difference, row.stderr),
                "95%": None if row.stderr is None else _interval(row.difference, row.stderr),
            }
            for row in self.rows
        ]

    def remarks(self) -> Iterator[tuple[str, str]]:
        for note in self.notes:
            yield "memorisation", note

    def values(self, score: Score, items: Mapping[str, list[Any]]) -> ItemValues | None:
        keys, pairs = [], []
        for corpus, heldout, read, size, bits in item_rows(items, "corpus", "heldout", "read", "bytes", "difference"):
            if corpus == score.task:
                keys.append((corpus, heldout, read))
                pairs.append((bits, float(size)))
        return item_values(keys, pairs)


class MemorisationSuite(SuiteSettings):
    """Training text against held-out text of the same source, as many bytes of each, in pairs."""

    version: ClassVar[str] = MEMORISATION_VERSION
    description: ClassVar[str] = "Bits per byte of text that was trained on against held-out text of the same source."
    details: ClassVar[type[Details]] = MemorisationDetails
    needs_heldout: ClassVar[bool] = True
    needs_training_text: ClassVar[bool] = True
    needs_shards: ClassVar[bool] = True

    kind: Literal["memorisation"] = "memorisation"
    maximum_bytes: int = Field(100_000, gt=0)
    """Bytes of each corpus's held-out text that are paired, in whole documents chosen by the hashes of their texts."""
    batch_tokens: int = runtime(8192, gt=0)

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        return evaluate_memorisation(scorer, inputs, self, out)


def evaluate_memorisation(scorer: Scorer, inputs: SuiteInputs, suite: MemorisationSuite, out: Path) -> SuiteResult:
    """Score every corpus's pairs; write `pairs.parquet` (a row a pair) and `scores.json`.

    Raises NotPossibleError where no corpus has both text that was trained on and held-out text, or the tokenizer's
    round trip is not exact.
    """
    start = time.monotonic()
    rows, items, notes = [], [], []
    for corpus, folder in sorted(inputs.heldout.items()):
        try:
            heldout = read_heldout(corpus, folder, suite.maximum_bytes)
        except NotPossibleError as error:
            notes.append(str(error))
            continue
        read = read_documents(corpus, heldout, inputs.shards.values(), inputs.training)
        pairs = pairs_of(heldout, read)
        if not pairs:
            notes.append(f"{corpus}: nothing of it, in a language of its held-out text, was trained on")
            continue
        bits = _bits(scorer, corpus, pairs, suite.batch_tokens)
        rows.append(_row(corpus, pairs, bits))
        items += [
            {"corpus": corpus, "heldout": pair.heldout_hash, "read": pair.read_hash, "bytes": pair.bytes}
            | {"bits_heldout": held, "bits_read": known, "difference": held - known}
            for pair, (held, known) in zip(pairs, bits, strict=True)
        ]
    if not rows:
        raise NotPossibleError("; ".join(notes) or "memorisation has nothing to score: the profile has no corpora")
    _write(items, out / PAIRS_FILE)
    scores = [
        Score(
            task=row.corpus,
            metric=MEMORISED,
            value=row.difference,
            stderr=row.stderr,
            count=row.pairs,
            higher_is_better=False,
            version=MEMORISATION_VERSION,
        )
        for row in rows
    ]
    details = MemorisationDetails(tuple(rows), notes)
    return finish(out, suite.kind, scores, details, seconds=time.monotonic() - start, files=[PAIRS_FILE])


def _bits(scorer: Scorer, corpus: str, pairs: Sequence[Pair], batch_tokens: int) -> list[tuple[float, float]]:
    """Bits of each pair's held-out and read side."""
    from trainer.scoring.documents import score_documents

    texts = [text for pair in pairs for text in (pair.heldout, pair.read)]
    both = Heldout(corpus, texts, [""] * len(texts), [len(text.encode()) for text in texts])
    nats, _ = score_documents(
        scorer.model,
        encode_exactly(scorer.tokenizer, both),
        eot_id=scorer.eot_id,
        context=scorer.context,
        batch_tokens=batch_tokens,
    )
    return [(float(held), float(known)) for held, known in nats.reshape(-1, 2) / math.log(2)]


def _row(corpus: str, pairs: Sequence[Pair], bits: Sequence[tuple[float, float]]) -> MemorisedRow:
    import numpy as np

    sizes = np.array([pair.bytes for pair in pairs], dtype=np.float64)
    held, known = np.array(bits).T
    return MemorisedRow(
        corpus=corpus,
        pairs=len(pairs),
        bytes=int(sizes.sum()),
        heldout=float(held.sum() / sizes.sum()),
        read=float(known.sum() / sizes.sum()),
        stderr=ratio_stderr(held - known, sizes),
    )


def _interval(value: float, stderr: float) -> str:
    return f"{value - INTERVAL * stderr:.4f} to {value + INTERVAL * stderr:.4f}"


def _write(items: Sequence[Mapping[str, Any]], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with whole_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist([dict(item) for item in items]), temporary, compression="zstd")
