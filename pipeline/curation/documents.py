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

import numpy as np
import pyarrow as pa

from pipeline.base.errors import CurationError
from pipeline.base.executor import Executor
from pipeline.base.files import TEMPORARY, remove_unfinished, write_json
from pipeline.base.finished import finish, is_finished
from pipeline.base.progress import Progress
from pipeline.base.time_limit import TimeIsUpError, TimeLimit
from pipeline.curation.doc_ids import doc_id
from pipeline.curation.heldout import group_keys
from pipeline.curation.quarantine import ENDING as QUARANTINE
from pipeline.curation.quarantine import Quarantine, Quarantined, quarantine, write_left_out
from pipeline.curation.readings import chosen_readers, write_readings
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.signals.signals import SIGNAL_FIELDS, compute_signals
from pipeline.curation.sources.choosing import Reading
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import Record, Refused
from pipeline.curation.sources.hub import commit_of
from pipeline.curation.sources.unit import Unit
from pipeline.curation.sources.unit_listing import list_units
from pipeline.curation.sources.unit_reading import read_unit
from pipeline.curation.tables import CORE_FIELDS, ROW_GROUP_BYTES, ROW_GROUP_ROWS, ColumnsHash, TableWriter, iter_parts
from pipeline.curation.text.normalizing import normalize
from pipeline.curation.text.splitting import is_longer, split_document
from pipeline.curation.text.words import forget_chunks

DOCUMENTS_VERSION: Final = "2"
COMMITS: Final = "commits.json"
SCHEMA: Final = pa.schema([*CORE_FIELDS, *SIGNAL_FIELDS])
UNKNOWN_LANGUAGES: Final = ".unknown_languages.json"
"""Ending of the file beside a part that counts what its rows said in place of a language's code; the rest under ""."""
_MOST_NAMED: Final = 200
_MOST_SHOWN: Final = 20
_EXCERPT: Final = 40
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DocumentsSummary:
    """What `documents/<corpus>` holds. `languages` and `quarantined` count documents, by language and by reason."""

    content_hash: str
    documents: int
    bytes: int
    groups: int
    languages: dict[str, int]
    sources: dict[str, int]
    quarantined: dict[str, int]
    quarantine_examples: list[dict[str, str | int]]
    readers: dict[str, str] = field(default_factory=dict)
    """How files are read whose content decided it and not their name: the first of them."""
    unknown_languages: dict[str, int] = field(default_factory=dict)
    """What rows said in place of a language's code, so that it was detected: the most frequent, with their records."""


def build_documents(
    corpus: str, settings: DocumentsSettings, out: Path, *, cache: Path, executor: Executor
) -> DocumentsSummary:
    """Build the documents of one corpus in `out`, going on from finished parts there.

    Args:
        corpus: the corpus's name, for messages.
        settings: sources, normalising and splitting.
        out: folder for the parts; may hold those of a killed build with the same settings.
        cache: folder of downloaded package archives.
        executor: shares out the parts. Never changes the result.

    Raises:
        SourceError: a source cannot be fetched or read.
        CurationError: no document came out.
    """
    remove_unfinished(out)
    settings = _at_commits(settings, out / COMMITS)
    listing = list_units(settings.sources, cache)
    write_left_out(out, listing.left_out)
    units = listing.units
    missing = [number for number in range(len(units)) if not is_finished(_part(out, number))]
    if len(missing) < len(units):
        log.info("%s: %d of %d parts are there already", corpus, len(units) - len(missing), len(units))
    tasks = [(units[number], settings, _part(out, number)) for number in missing]
    _build_parts(corpus, tasks, executor)
    return _summarise(corpus, settings, out)


def _at_commits(settings: DocumentsSettings, record: Path) -> DocumentsSettings:
    """The settings with each hub branch replaced by its commit: looked up once, so that a build that goes on after a
    kill reads what it began with, and kept beside the documents."""
    known: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if is_finished(record) else {}
    sources = []
    for source in settings.sources:
        if source.hub is not None:
            name = f"{source.hub.id}@{source.hub.revision}"
            commit = known.get(name) or commit_of(source.hub)
            if commit != source.hub.revision:
                known[name] = commit
                source = source.model_copy(update={"hub": source.hub.model_copy(update={"revision": commit})})
        sources.append(source)
    if known:
        write_json(record, dict(sorted(known.items())), indent=2)
        finish(record)
    return settings.model_copy(update={"sources": sources})


def _part(out: Path, number: int) -> Path:
    return out / f"part-{number:05d}.parquet"


def _build_parts(corpus: str, tasks: list[tuple[Unit, DocumentsSettings, Path]], executor: Executor) -> None:
    """Build parts; those built in this process report on the way, since one may be a file of gigabytes."""
    progress = Progress(log, f"{corpus}: documents")
    if executor.slots == 1 or len(tasks) == 1 or not _worth_workers([unit for unit, _, _ in tasks]):
        for task in tasks:
            progress.add(*build_part(*task, report=progress.add))
        return
    for written in executor.map(build_part, tasks, ordered=False):
        progress.add(*written)


def _worth_workers(units: list[Unit]) -> bool:
    """Starting processes takes about a second, in which one core cleans 4 MB."""
    local = [Path(unit.path) for unit in units if unit.member is None and "://" not in unit.path]
    return len(local) < len(units) or sum(path.stat().st_size for path in local) > 16_000_000


def build_part(
    unit: Unit, settings: DocumentsSettings, path: Path, report: Callable[[int, int], None] | None = None
) -> tuple[int, int]:
    """Write one unit's documents to `path`; returns the documents and bytes that `report` was not told of."""
    unknown_languages: Counter[str] = Counter()
    readings: list[Reading] = []
    documents = size = 0
    set_aside = quarantine(path.with_suffix(QUARANTINE))  # is there before the part is, which says that both are whole
    with TableWriter(path, SCHEMA) as writer, set_aside as refused, TimeLimit() as limit:
        for batch in _batches(unit, settings, limit, refused, unknown_languages, readings):
            writer.write(batch)
            if report is not None:
                report(batch.num_rows, sum(batch.column("bytes").to_pylist()))
            else:
                documents, size = documents + batch.num_rows, size + sum(batch.column("bytes").to_pylist())
        if unknown_languages:
            write_json(path.with_suffix(UNKNOWN_LANGUAGES), unknown_languages)
        write_readings(path, readings)
    beside = [file for file in sorted(path.parent.glob(f"{path.stem}.*")) if file != path and file.suffix != TEMPORARY]
    finish(path, *beside, *(file for file in [path.with_name(COMMITS)] if file.exists()))
    return documents, size


Row = tuple[str, bytes, Record, int]
"""A document: its text, the same in UTF-8, the record it is (a piece) of, and its place in that."""


def _batches(
    unit: Unit,
    settings: DocumentsSettings,
    limit: TimeLimit,
    refused: Quarantine,
    unknown_languages: Counter[str],
    readings: list[Reading],
) -> Iterator[pa.RecordBatch]:
    rows: list[Row] = []
    size = 0
    for record in read_unit(unit, readings):
        if isinstance(record, Refused):
            refused.add(unit.source, record)
            continue
        if record.unknown_lang:
            said = record.unknown_lang[:_EXCERPT].encode("utf-8", "replace").decode()
            unknown_languages[said if said in unknown_languages or len(unknown_languages) < _MOST_NAMED else ""] += 1
        try:
            new = limit.run(_seconds(settings, len(record.text)), _rows, record, settings)
        except TimeIsUpError:
            new = Reason.TOO_SLOW
        if isinstance(new, Reason):
            refused.refuse(unit.source, record, new, _limit_of(new, settings))
            continue
        rows += new
        size += sum(len(row[1]) for row in new)
        if size >= ROW_GROUP_BYTES or len(rows) >= ROW_GROUP_ROWS:
            yield from _batch(rows, unit, settings, limit, refused)
            rows, size = [], 0
    if rows:
        yield from _batch(rows, unit, settings, limit, refused)


def _rows(record: Record, settings: DocumentsSettings) -> list[Row] | Reason:
    """The documents that a record becomes, or why it becomes none."""
    limit = settings.split_bytes
    if limit is None and is_longer(record.text, settings.refuse_bytes):
        return Reason.TOO_LONG
    text = normalize(record.text, settings.normalizing)
    if not text:
        return Reason.EMPTY
    try:
        text.encode("utf-8")
        (record.group or "").encode("utf-8")
    except UnicodeEncodeError:
        return Reason.LONE_SURROGATE
    pieces = [text] if limit is None else split_document(text, limit)
    return [(piece, piece.encode("utf-8"), record, place) for place, piece in enumerate(pieces)]


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
            refused.refuse(unit.source, rows[0][2], Reason.TOO_SLOW, _limit_of(Reason.TOO_SLOW, settings))
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
    yield pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _signals(rows: list[Row]) -> dict[str, Any]:
    return compute_signals([text for text, _, _, _ in rows], [record.lang for _, _, record, _ in rows])


def _summarise(corpus: str, settings: DocumentsSettings, out: Path) -> DocumentsSummary:
    names = [field.name for field in SCHEMA if field.name != "text"]
    hashed = ColumnsHash(names)
    languages: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    groups: list[np.ndarray] = []
    size = 0
    for batch in iter_parts(out, names):
        hashed.update(batch)
        languages.update(batch.column("lang").to_pylist())
        sources.update(batch.column("source").to_pylist())
        groups.append(np.unique(group_keys(corpus, 0, batch.column("group").to_pylist())))
        size += sum(batch.column("bytes").to_pylist())
    quarantined = Quarantined.of(out)
    quarantined.warn_of_files(corpus)
    unknown_languages: Counter[str] = Counter()
    for path in sorted(out.glob(f"part-*{UNKNOWN_LANGUAGES}")):
        unknown_languages.update(json.loads(path.read_text(encoding="utf-8")))
    if unknown_languages:
        said = ", ".join(f"{name!r}" for name, _ in unknown_languages.most_common(5) if name)
        log.warning(
            "%s: %s records name no language by its code (%s): theirs is detected; see `lang_field` in the sources",
            *(corpus, f"{unknown_languages.total():,}", said),
        )
    if hashed.rows == 0:
        where = ", ".join(source.label for source in settings.sources)
        raise CurationError(f"corpus {corpus!r} has no documents: nothing usable came from {where} ({quarantined})")
    return DocumentsSummary(
        content_hash=hashed.hexdigest(),
        documents=hashed.rows,
        bytes=size,
        groups=len(np.unique(np.concatenate(groups))),
        languages=dict(languages.most_common()),
        sources=dict(sorted(sources.items())),
        quarantined=dict(quarantined.reasons.most_common()),
        quarantine_examples=[item for some in quarantined.examples.values() for item in some],
        readers=chosen_readers(corpus, out),
        unknown_languages=dict(unknown_languages.most_common(_MOST_SHOWN)),
    )
