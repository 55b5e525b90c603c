"""Bits per byte of domains that no training corpus has, per language and over the position in a document, and whether
the model knows there how sure it may be.

Held-out documents of the training corpora say how well a model learned those; what it makes of other text is another
question. A domain's documents are read as a corpus's are, from any kind of source, and scored alone.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field

from pipeline.base.errors import NotPossibleError
from pipeline.base.files import whole_path
from pipeline.base.numbers import with_error
from pipeline.base.settings import runtime
from pipeline.evaluation.calibration import Bin, Calibration, calibration
from pipeline.evaluation.domains import Domain, read_domain
from pipeline.evaluation.heldout import Heldout, encode_exactly
from pipeline.evaluation.item_values import BITS, ItemValues, item_rows, item_values, ratio_stderr
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Details, Score, SuiteResult, fields_from, finish
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings

if TYPE_CHECKING:
    import numpy as np

    from trainer.scoring.predictions import Predictions

FRESH_TEXT_VERSION: Final = "1"
DOCUMENTS_FILE: Final = "fresh.parquet"
FRESH_BITS: Final = "fresh_bits_per_byte"
CALIBRATION_ERROR: Final = "calibration_error"
POSITIONS: Final = (0, 256, 1024, 4096)
"""Bytes of a document from which on its bits are counted apart."""
LEAST_DOCUMENTS: Final = 5
"""A language of a domain has a row of its own where it has as many documents; fewer say little, and short ones are
taken for other languages."""


@dataclass(frozen=True)
class FreshRow:
    """A domain, or a language of it where it has several."""

    name: str
    domain: str
    lang: str | None
    """None: all languages."""
    documents: int
    bytes: int
    tokens: int
    bits_per_byte: float
    stderr: float | None
    by_position: Sequence[float | None]
    """Bits per byte of what lies between one of `POSITIONS` and the next; none where no document is so long."""
    loss: float
    """Bits a token took."""
    entropy: float
    """Bits that the model expected it to take."""
    gap_stderr: float | None
    calibration_error: float
    bins: tuple[Bin, ...]
    text_hash: str


@dataclass(frozen=True)
class FreshDetails(Details):
    """All domains."""

    items_file: ClassVar[str] = DOCUMENTS_FILE
    rows: tuple[FreshRow, ...]
    notes: Sequence[str] = ()
    """What was left out, and why."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        rows = (
            fields_from(FreshRow, {**row, "bins": tuple(fields_from(Bin, item) for item in row["bins"])})
            for row in body["rows"]
        )
        return fields_from(cls, {**body, "rows": tuple(rows)})

    def row_of(self, task: str) -> FreshRow | None:
        """The text a score is of."""
        return next((row for row in self.rows if row.name == task), None)

    def table(self) -> list[dict[str, Any]]:
        return [
            {
                "text": row.name,
                "documents": row.documents,
                "bytes": row.bytes,
                "bits/byte": with_error(row.bits_per_byte, row.stderr),
                **{f"from byte {start:,}": value for start, value in zip(POSITIONS, _rounded(row), strict=True)},
                "bits/token": f"{row.loss:.3f}",
                "expected": f"{row.entropy:.3f}",
                "too sure by": with_error(row.loss - row.entropy, row.gap_stderr),
                "calibration error": f"{row.calibration_error:.4f}",
            }
            for row in self.rows
        ]

    def remarks(self) -> Iterator[tuple[str, str]]:
        for note in self.notes:
            yield "fresh text", note

    def text_hash_of(self, task: str) -> str | None:
        row = self.row_of(task)
        return None if row is None else row.text_hash

    def values(self, score: Score, items: Mapping[str, list[Any]]) -> ItemValues | None:
        row = self.row_of(score.task)
        if row is None or score.metric != FRESH_BITS:
            return None  # a calibration error is no mean over documents
        keys, pairs = [], []
        for domain, digest, lang, size, nats in item_rows(items, "domain", "hash", "lang", "bytes", "nats_text"):
            if domain == row.domain and row.lang in (None, lang):
                keys.append((domain, digest))
                pairs.append((-nats, float(size)))
        return item_values(keys, pairs, BITS)


class FreshTextSuite(SuiteSettings):
    """Bits per byte and calibration on domains that no training corpus has."""

    version: ClassVar[str] = FRESH_TEXT_VERSION
    description: ClassVar[str] = (
        "Bits per byte of domains that no training corpus has, over the position in a document, and calibration there."
    )
    details: ClassVar[type[Details]] = FreshDetails

    kind: Literal["fresh_text"] = "fresh_text"
    domains: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")], Domain] = Field(min_length=1)
    """Kinds of text by name, each with its sources."""
    maximum_bytes: int = Field(100_000, gt=0)
    """Bytes of each domain that are scored, in whole documents chosen by the hashes of their texts."""
    batch_tokens: int = runtime(8192, gt=0)

    def local_files(self) -> Mapping[str, Any]:
        found = {name: domain.local_files() for name, domain in self.domains.items()}
        return {f"domain {name}": files for name, files in found.items() if files}

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        return evaluate_fresh_text(scorer, self, inputs.cache, out)


@dataclass(frozen=True)
class _Scored:
    """A domain's documents with what the model expected of each."""

    heldout: Heldout
    predictions: Sequence[Predictions]
    offsets: Sequence[np.ndarray] | None
    """Byte of the document at which each token begins; none where tokens have no bytes of their own."""


def evaluate_fresh_text(scorer: Scorer, suite: FreshTextSuite, cache: Path, out: Path) -> SuiteResult:
    """Score every domain; write `fresh.parquet` (a row a document) and `scores.json`.

    Raises:
        NotPossibleError: no domain can be had, or the tokenizer's round trip is not exact.
        SourceError: a source is damaged or matches no file.
    """
    start = time.monotonic()
    scored, notes, passing = {}, [], False
    for name, domain in suite.domains.items():
        try:
            heldout = read_domain(name, domain, cache, suite.maximum_bytes)
        except NotPossibleError as error:
            notes.append(str(error))
            passing = passing or error.passing
            continue
        scored[name] = _score(scorer, heldout, suite.batch_tokens)
    if passing or not scored:
        raise NotPossibleError("; ".join(notes), passing=passing)
    rows = [row for name, domain in scored.items() for row in _rows(name, domain)]
    _write(scored, out / DOCUMENTS_FILE)
    scores = [score for row in rows for score in _scores(row)]
    details = FreshDetails(tuple(rows), notes)
    return finish(out, suite.kind, scores, details, seconds=time.monotonic() - start, files=[DOCUMENTS_FILE])


def _score(scorer: Scorer, heldout: Heldout, batch_tokens: int) -> _Scored:
    import numpy as np

    from trainer.scoring.predictions import predict_documents

    encoded = encode_exactly(scorer.tokenizer, heldout)
    predictions = predict_documents(
        scorer.model, encoded, eot_id=scorer.eot_id, context=scorer.context, batch_tokens=batch_tokens
    )
    pieces = scorer.tokenizer.token_bytes()
    if pieces is None:
        return _Scored(heldout, predictions, None)
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    ends = [np.cumsum(lengths[np.asarray(ids, dtype=np.int64)]) for ids in encoded]
    if any(end[-1] != size for end, size in zip(ends, heldout.bytes, strict=True) if len(end)):
        return _Scored(heldout, predictions, None)  # a token's bytes depend on its neighbours
    return _Scored(heldout, predictions, [np.concatenate([[0], end[:-1]]) for end in ends])


def _rows(name: str, scored: _Scored) -> Iterator[FreshRow]:
    """A row for the domain, and one for each of its languages where it has several."""
    yield _row(name, name, None, scored, list(range(len(scored.predictions))))
    languages = Counter(scored.heldout.languages)
    for lang, count in sorted(languages.items()):
        if len(languages) > 1 and count >= LEAST_DOCUMENTS:
            chosen = [number for number, of in enumerate(scored.heldout.languages) if of == lang]
            yield _row(f"{name}/{lang}", name, lang, scored, chosen)


def _row(name: str, domain: str, lang: str | None, scored: _Scored, chosen: Sequence[int]) -> FreshRow:
    import numpy as np

    predictions = [scored.predictions[number] for number in chosen]
    sizes = np.array([scored.heldout.bytes[number] for number in chosen], dtype=np.float64)
    bits = np.array([item.nats.sum() for item in predictions]) / math.log(2)
    found: Calibration = calibration(predictions)
    text = "".join(scored.heldout.texts[number] for number in chosen)
    return FreshRow(
        name=name,
        domain=domain,
        lang=lang,
        documents=len(chosen),
        bytes=int(sizes.sum()),
        tokens=sum(len(item.nats) for item in predictions),
        bits_per_byte=float(bits.sum() / sizes.sum()),
        stderr=ratio_stderr(bits, sizes),
        by_position=_by_position(scored, chosen),
        loss=found.loss,
        entropy=found.entropy,
        gap_stderr=found.gap_stderr,
        calibration_error=found.error,
        bins=found.bins,
        text_hash=hashlib.sha256(text.encode()).hexdigest(),
    )


def _by_position(scored: _Scored, chosen: Sequence[int]) -> list[float | None]:
    """Bits per byte of the tokens that begin between one of `POSITIONS` and the next."""
    import numpy as np

    if scored.offsets is None:
        return [None] * len(POSITIONS)
    bits, sizes = np.zeros(len(POSITIONS)), np.zeros(len(POSITIONS))
    for number in chosen:
        starts = scored.offsets[number]
        place = np.searchsorted(POSITIONS, starts, side="right") - 1
        lengths = np.diff(np.append(starts, scored.heldout.bytes[number]))
        np.add.at(bits, place, scored.predictions[number].nats / math.log(2))
        np.add.at(sizes, place, lengths)
    return [float(total / size) if size else None for total, size in zip(bits, sizes, strict=True)]


def _scores(row: FreshRow) -> Iterator[Score]:
    for metric, value, stderr in (
        (FRESH_BITS, row.bits_per_byte, row.stderr),
        (CALIBRATION_ERROR, row.calibration_error, None),
    ):
        yield Score(
            task=row.name,
            metric=metric,
            value=value,
            stderr=stderr,
            count=row.documents,
            higher_is_better=False,
            version=FRESH_TEXT_VERSION,
        )


def _rounded(row: FreshRow) -> list[str | None]:
    return [None if value is None else f"{value:.3f}" for value in row.by_position]


def _write(scored: Mapping[str, _Scored], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "domain": name,
            "hash": hashlib.sha256(text.encode()).hexdigest()[:32],
            "lang": lang,
            "bytes": size,
            "tokens": len(item.nats),
            "nats_text": float(item.nats.sum()),
            "nats_expected": float(item.entropy.sum()),
        }
        for name, domain in scored.items()
        for text, lang, size, item in zip(
            domain.heldout.texts, domain.heldout.languages, domain.heldout.bytes, domain.predictions, strict=True
        )
    ]
    with whole_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows), temporary, compression="zstd")
