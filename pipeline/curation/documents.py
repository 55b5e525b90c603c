"""The asset `documents/<corpus>`: fetch, normalise, split, and store text with its signals.

In: `DocumentsSettings` and a cache of archives. Out: `part-NNNNN.parquet`, one for each unit of the sources, in their
order, `part-NNNNN.quarantine.jsonl` with what could not become a document, `part-NNNNN.unknown_languages.json` where
rows name languages that are none, `part-NNNNN.readings.json` where content decided how a file is read and, where a hub
source names a branch, `commits.json` with the commits that were read. Each part depends on its unit alone, so parts are
made in any order by any number of processes, and a killed build goes on from the finished ones.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pipeline.base.executor import Executor
from pipeline.base.files import TEMPORARY, remove_unfinished, write_json
from pipeline.base.finished import finish, is_finished
from pipeline.base.progress import Progress
from pipeline.base.time_limit import TimeIsUpError, TimeLimit
from pipeline.curation.byte_counts import Tally
from pipeline.curation.doc_ids import doc_id
from pipeline.curation.quarantine import ENDING as QUARANTINE
from pipeline.curation.quarantine import Quarantine, quarantine, write_left_out
from pipeline.curation.readings import write_readings
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.signals.signals import SIGNAL_FIELDS, compute_signals
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import Passed, Record, Refused
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.sources.hub.catalog import commit_of
from pipeline.curation.sources.hub.kept import KEPT_BYTES, trim
from pipeline.curation.sources.intake import Intake
from pipeline.curation.sources.unit import Unit
from pipeline.curation.sources.unit_listing import list_units
from pipeline.curation.sources.unit_reading import read_unit
from pipeline.curation.summary import UNKNOWN_LANGUAGES, DocumentsSummary, summarise
from pipeline.curation.tables import (
    CORE_FIELDS,
    ROW_GROUP_BYTES,
    ROW_GROUP_ROWS,
    TableWriter,
)
from pipeline.curation.text.normalizing import normalize
from pipeline.curation.text.personal import count_masks
from pipeline.curation.text.sizes import utf8_bytes
from pipeline.curation.text.splitting import is_longer, split_document
from pipeline.curation.text.words import forget_chunks

DOCUMENTS_VERSION: Final = "3"
COMMITS: Final = "commits.json"
SCHEMA: Final = pa.schema([*CORE_FIELDS, *SIGNAL_FIELDS])
GIVEN_SCORE: Final = "given_score"
"""The column of what a `score_field` says, in documents whose sources have one."""
HOST: Final = "host"
"""The column of the host that a `url_field` names, in documents whose sources have one; empty where there is none."""
_MOST_NAMED: Final = 200
_EXCERPT: Final = 40
_WORTH_WORKERS: Final = 8_000_000
"""Bytes of local files and members of archives, as they lie."""
log = logging.getLogger(__name__)
_Task = tuple[Unit, DocumentsSettings, Path, Path | None]


def build_documents(
    corpus: str,
    settings: DocumentsSettings,
    out: Path,
    *,
    cache: Path,
    executor: Executor,
    kept_bytes: int = KEPT_BYTES,
) -> DocumentsSummary:
    """Build the documents of one corpus in `out`, going on from finished parts there.

    Args:
        corpus: the corpus's name, for messages.
        settings: sources, normalising and splitting.
        out: folder for the parts; may hold those of a killed build with the same settings.
        cache: folder of downloaded package archives, and of what was fetched of the hub.
        executor: shares out the parts. Never changes the result.
        kept_bytes: how much of what was fetched of the hub is kept, for other profiles and for a kill.

    Raises:
        SourceError: a source cannot be fetched or read.
        CurationError: no document came out.
    """
    remove_unfinished(out)
    settings = at_commits(settings, cache, out / COMMITS)
    listing = list_units(settings.sources, cache)
    write_left_out(out, listing.left_out)
    units = listing.units
    missing = [number for number in range(len(units)) if not is_finished(_part(out, number))]
    if len(missing) < len(units):
        log.info("%s: %d of %d parts are there already", corpus, len(units) - len(missing), len(units))
    commits = out / COMMITS if (out / COMMITS).exists() else None
    tasks = [(units[number], settings, _part(out, number), commits) for number in missing]
    for _ in _build_parts(corpus, tasks, executor):
        if any(unit.hub is not None for unit in units):
            trim(cache, kept_bytes)
    return summarise(corpus, settings, schema_of(settings).names, out, listing)


def schema_of(settings: DocumentsSettings) -> pa.Schema:
    """The columns of a corpus's documents: `SCHEMA`, `GIVEN_SCORE` where a source says how good its text is, and `HOST`
    where one says which address it is from."""
    schema = SCHEMA
    if any(source.score_field is not None for source in settings.sources):
        schema = schema.append(pa.field(GIVEN_SCORE, pa.float32(), nullable=False))
    if any(source.url_field is not None for source in settings.sources):
        schema = schema.append(pa.field(HOST, pa.string(), nullable=False))
    return schema


def at_commits(settings: DocumentsSettings, cache: Path, record: Path | None = None) -> DocumentsSettings:
    """The settings with each hub branch replaced by its commit: looked up once, so that a build that goes on after a
    kill reads what it began with, and kept beside the documents (`record`)."""
    found = record is not None and is_finished(record)
    known: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if found and record else {}
    sources = []
    for source in settings.sources:
        if source.hub is not None:
            name = f"{source.hub.id}@{source.hub.revision}"
            commit = known.get(name) or commit_of(source.hub, cache)
            if commit != source.hub.revision:
                known[name] = commit
                source = source.model_copy(update={"hub": source.hub.model_copy(update={"revision": commit})})
        sources.append(source)
    if known and record is not None:
        write_json(record, dict(sorted(known.items())), indent=2)
        finish(record)
    return settings.model_copy(update={"sources": sources})


def _part(out: Path, number: int) -> Path:
    return out / f"part-{number:05d}.parquet"


def _build_parts(corpus: str, tasks: list[_Task], executor: Executor) -> Iterator[None]:
    """Build parts, and stop after each; those built in this process report on the way, since one may be a file of
    gigabytes. How much there is in all is known of Parquet files of the hub, by their footers."""
    units = [unit for unit, *_ in tasks]
    sizes = [unit.text for unit in units if unit.hub is not None and unit.text is not None]
    progress = Progress(log, f"{corpus}: documents", size=sum(sizes) if tasks and len(sizes) == len(tasks) else None)
    if len(tasks) < 2 or not _worth_workers(units) or executor.slots == 1:
        for task in tasks:
            progress.add(*build_part(*task, report=progress.add))
            yield
    else:
        for written in executor.map(build_part, tasks, ordered=False):
            progress.add(*written)
            yield
    if tasks:
        progress.finish()


def _worth_workers(units: list[Unit]) -> bool:
    """A process takes a second and a half to start and to learn the frequent words, in which one core cleans 3 MB; but
    what comes over a network is waited for."""
    if any(unit.is_remote or unit.hub is not None for unit in units):
        return True
    return sum(unit.bytes or 0 for unit in units) > _WORTH_WORKERS


def build_part(
    unit: Unit,
    settings: DocumentsSettings,
    path: Path,
    commits: Path | None,
    report: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Write one unit's documents to `path`; returns the documents and bytes that `report` was not told of.

    commits: the file that says which commits of the hub the settings name, if there is one; the part is of these alone.
    """
    documents = size = 0
    set_aside = quarantine(path.with_suffix(QUARANTINE))  # is there before the part is, which says that both are whole
    with TableWriter(path, schema_of(settings)) as writer, set_aside as refused, TimeLimit() as limit:
        most = settings.refuse_bytes if settings.split_bytes is None else None
        beside = _Beside(refused, Intake(most))
        for batch in _batches(unit, settings, limit, beside):
            writer.write(batch)
            if report is not None:
                report(batch.num_rows, sum(batch.column("bytes").to_pylist()))
            else:
                documents, size = documents + batch.num_rows, size + sum(batch.column("bytes").to_pylist())
        if beside.unknown_languages:
            write_json(path.with_suffix(UNKNOWN_LANGUAGES), beside.unknown_languages)
        write_readings(path, beside.intake.readings)
        writer.describe(beside.tally.metadata)
    others = [file for file in sorted(path.parent.glob(f"{path.stem}.*")) if file != path and file.suffix != TEMPORARY]
    finish(path, *others, *([commits] if commits else []))
    return documents, size


Row = tuple[str, bytes, Record, int]
"""A document: its text, the same in UTF-8, the record it is (a piece) of, and its place in that."""


@dataclass
class _Beside:
    """What comes of a unit beside documents."""

    refused: Quarantine
    intake: Intake
    tally: Tally = field(default_factory=Tally)
    unknown_languages: Counter[str] = field(default_factory=Counter)

    def add_unknown(self, said: str) -> None:
        """Count what a row said in place of a language's code, in bounded space."""
        said = said[:_EXCERPT].encode("utf-8", "replace").decode()
        known = said in self.unknown_languages or len(self.unknown_languages) < _MOST_NAMED
        self.unknown_languages[said if known else ""] += 1


def _batches(unit: Unit, settings: DocumentsSettings, limit: TimeLimit, beside: _Beside) -> Iterator[pa.RecordBatch]:
    rows: list[Row] = []
    size = 0
    refused, tally = beside.refused, beside.tally
    for record in read_unit(unit, beside.intake):
        if isinstance(record, Passed):
            tally.remove(record.removal, record.size)
            continue
        if isinstance(record, Refused):
            refused.add(unit.source, record)
            continue
        if record.unknown_lang:
            beside.add_unknown(record.unknown_lang)
        raw = utf8_bytes(record.text)
        tally.remove(Removal.AROUND, record.size - raw)
        try:
            new = limit.run(_seconds(settings, len(record.text)), _rows, record, settings)
        except TimeIsUpError:
            new = Reason.TOO_SLOW
        if isinstance(new, Reason):
            refused.refuse(unit.source, record, new, _limit_of(new, settings), raw)
            continue
        clean, pieces = new
        kept = sum(len(piece[1]) for piece in pieces)
        for piece in pieces:
            tally.masks.update(count_masks(piece[1]))
        tally.remove(Removal.CLEANING, raw - clean)
        tally.remove(Removal.SPLITTING, clean - kept)
        rows += pieces
        size += kept
        if size >= ROW_GROUP_BYTES or len(rows) >= ROW_GROUP_ROWS:
            yield from _batch(rows, unit, settings, limit, refused)
            rows, size = [], 0
    if rows:
        yield from _batch(rows, unit, settings, limit, refused)
    tally.read = beside.intake.measure.bytes


def _rows(record: Record, settings: DocumentsSettings) -> tuple[int, list[Row]] | Reason:
    """The bytes of a record's clean text and the documents that it becomes, or why it becomes none."""
    limit = settings.split_bytes
    if limit is None and is_longer(record.text, settings.refuse_bytes):
        return Reason.TOO_LONG
    text = normalize(record.text, settings.normalizing)
    if not text:
        return Reason.EMPTY
    try:
        clean = len(text.encode("utf-8"))
        (record.group or "").encode("utf-8")
    except UnicodeEncodeError:
        return Reason.LONE_SURROGATE
    pieces = [text] if limit is None else split_document(text, limit)
    return clean, [(piece, piece.encode("utf-8"), record, place) for place, piece in enumerate(pieces)]


def _seconds(settings: DocumentsSettings, characters: int) -> float:
    """Processor seconds for text of this length."""
    return settings.document_seconds * max(1.0, characters / 1e6)


def _limit_of(reason: Reason, settings: DocumentsSettings) -> str:
    """The setting by which a record was refused."""
    if reason is Reason.TOO_LONG:
        return f"refuse_bytes = {settings.refuse_bytes:,}"
    return f"document_seconds = {settings.document_seconds:g}" if reason is Reason.TOO_SLOW else ""


def _batch(
    rows: list[Row], unit: Unit, settings: DocumentsSettings, limit: TimeLimit, refused: Quarantine
) -> Iterator[pa.RecordBatch]:
    """Rows with their signals; where those take too long, without the rows to blame, which are found one by one."""
    seconds = _seconds(settings, sum(len(row[0]) for row in rows))
    try:
        signals = limit.run(seconds, _signals, rows)
    except TimeIsUpError:
        forget_chunks()
        if len(rows) == 1:
            _, data, record, _ = rows[0]
            refused.refuse(unit.source, record, Reason.TOO_SLOW, _limit_of(Reason.TOO_SLOW, settings), len(data))
        else:
            middle = len(rows) // 2
            yield from _batch(rows[:middle], unit, settings, limit, refused)
            yield from _batch(rows[middle:], unit, settings, limit, refused)
        return
    columns = {
        "doc_id": [doc_id(data) for _, data, _, _ in rows],
        "text": [text for text, _, _, _ in rows],
        "bytes": [len(data) for _, data, _, _ in rows],
        "group": [record.group for _, _, record, _ in rows],
        "position": [position for _, _, _, position in rows],
        "lang": [row[2].lang or detected for row, detected in zip(rows, signals["detected"], strict=True)],
        "source": [record.entry for _, _, record, _ in rows],
        **signals,
    }
    schema = schema_of(settings)
    if GIVEN_SCORE in schema.names:
        columns[GIVEN_SCORE] = [record.score for _, _, record, _ in rows]
    if HOST in schema.names:
        columns[HOST] = [record.host for _, _, record, _ in rows]
    yield pa.RecordBatch.from_pydict(columns, schema=schema)


def _signals(rows: list[Row]) -> dict[str, Any]:
    return compute_signals([text for text, _, _, _ in rows], [record.lang for _, _, record, _ in rows])
