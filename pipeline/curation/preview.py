"""What sources would give, from a look at the beginning of some of their files: seconds, however large they are.

In: the settings of a corpus. Out: for each file that was looked at how it is read and why, its encoding, its records,
languages, first documents before and after cleaning, and what would be quarantined. Files are read by the code that
builds `documents/<corpus>`, so what is said here is what happens there; only how far they are read is bounded.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.base.errors import SqueezeError
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.signals.language import detect_language
from pipeline.curation.sources.choosing import Reading
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import Item, Passed, Record, Refused
from pipeline.curation.sources.formats.removal import Removal
from pipeline.curation.sources.guessing import cure_of_bad_bytes, guess_encoding
from pipeline.curation.sources.intake import Intake
from pipeline.curation.sources.kinds import ARCHIVES, BINARY, NOT_READ, TABLES, MisnamedError, ending
from pipeline.curation.sources.packing import unpacked
from pipeline.curation.sources.unit import Unit
from pipeline.curation.sources.unit_listing import list_units
from pipeline.curation.sources.unit_reading import read_unit
from pipeline.curation.text.normalizing import normalize
from pipeline.curation.text.sizes import utf8_bytes
from pipeline.curation.text.splitting import is_longer, split_document

BEGINNING: Final = 2 << 20
"""Bytes that are read of a file, unpacked."""
SECONDS: Final = 3.0
"""Time after which no further file is opened, and no further record of one is cleaned."""
CLEANED: Final = 500
"""Records of a file that are cleaned, the others being counted."""
_MEMBERS: Final = 50
_REFUSED: Final = 5
_EXCERPT: Final = 1500
_GUESSED_FROM: Final = 1 << 16


@dataclass(frozen=True)
class SampleDocument:
    """The beginning of a document before and after cleaning."""

    entry: str
    row: int
    group: str
    language: str
    bytes: int
    before: str
    after: str
    pieces: int
    """Documents that it is cut into."""


@dataclass
class FilePreview:
    """A file, as far as it was looked at."""

    entry: str
    bytes: int | None
    """As it lies; None where that is not known."""
    readers: dict[str, str] = field(default_factory=dict)
    """How it, or each of its members, is read."""
    by_content: bool = False
    encoding: str = ""
    """What its text seems to be in, whatever the source says; empty of tables, and of archives."""
    sureness: str = ""
    whole: bool = True
    """Whether all of it was looked at."""
    records: int = 0
    estimated: int | None = None
    """Records in all of it, about, where they were counted in its beginning."""
    documents: int = 0
    groups: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    languages: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    advice: str = ""
    """What to do where its text is not in the source's encoding."""
    steps: Counter[str] = field(default_factory=Counter)
    """Bytes of what was looked at that each step would take, as the build counts them."""
    refused: list[Refused] = field(default_factory=list)
    samples: list[SampleDocument] = field(default_factory=list)


@dataclass(frozen=True)
class Preview:
    """What sources would give."""

    files: list[FilePreview]
    not_looked_at: int
    """Files that nothing is said of."""
    left_out: list[Refused]
    """Files of the patterns that are none of the source's, such as hidden ones."""
    seconds: float


def preview(settings: DocumentsSettings, cache: Path, *, files: int = 20, documents: int = 3) -> Preview:
    """Look at the beginning of some files, those of each ending in turn.

    Args:
        settings: sources and cleaning.
        cache: folder of downloaded archives.
        files: most files to look at.
        documents: most documents to show, over all files.

    Raises:
        SourceError: nothing matches, or what matches cannot be opened.
    """
    started = time.monotonic()
    listing = list_units(settings.sources, cache)
    units = _one_of_each(listing.units)
    looked_at: list[FilePreview] = []
    for unit in _in_turn(units)[:files]:
        if looked_at and time.monotonic() - started > SECONDS:
            break
        looked_at.append(_looked_at(unit, settings, documents, started + SECONDS))
    _keep_samples(looked_at, documents)
    left_out = [refused for _, refused in listing.left_out]
    return Preview(looked_at, len(units) - len(looked_at), left_out, time.monotonic() - started)


def _keep_samples(files: list[FilePreview], most: int) -> None:
    """Keep so many samples over all files, the first of each before the second of any."""
    ranked = [(rank, place) for place, file in enumerate(files) for rank in range(len(file.samples))]
    kept = Counter(place for _, place in sorted(ranked)[:most])
    for place, file in enumerate(files):
        del file.samples[kept[place] :]


def _one_of_each(units: list[Unit]) -> list[Unit]:
    """A unit a file: the first of a Parquet file's."""
    return list({(unit.path, unit.member, unit.entry): unit for unit in reversed(units)}.values())[::-1]


def _in_turn(units: list[Unit]) -> list[Unit]:
    """Units with the first of every ending before the second of any."""
    seen: Counter[str] = Counter()
    ranked = []
    for place, unit in enumerate(units):
        kind = ending(unit.file_name)
        ranked.append((seen[kind], place, unit))
        seen[kind] += 1
    return [unit for _, _, unit in sorted(ranked, key=lambda item: item[:2])]


def _looked_at(unit: Unit, settings: DocumentsSettings, documents: int, until: float) -> FilePreview:
    file = FilePreview(unit.entry, _size(unit))
    data, kind = _beginning(unit)
    guess = guess_encoding(data, whole=len(data) < _GUESSED_FROM) if data else None
    if guess is not None:
        file.encoding, file.sureness = guess.encoding, guess.sureness
    readings: list[Reading] = []
    groups: set[str] = set()
    for item in _items(unit, file, readings, kind in ARCHIVES, until):
        if isinstance(item, Passed):
            file.steps[item.removal] += item.size
            continue
        if isinstance(item, Refused):
            _refuse(file, item)
            continue
        file.records += 1
        show = len(file.samples) < documents
        if file.records > CLEANED or _clean(file, item, settings, readings[-1:], show=show):
            groups.add(item.group)
    file.groups = len(groups)
    file.readers = {reading.entry: reading.reader for reading in readings}
    file.by_content = any(reading.by_content for reading in readings)
    _estimate(file, readings)
    if Reason.BAD_BYTES in file.quarantined and data:
        file.advice = cure_of_bad_bytes(data, unit.source.encoding, whole=len(data) < _GUESSED_FROM)
    return file


def _estimate(file: FilePreview, readings: list[Reading]) -> None:
    """Records of all of a file of lines that is not packed, from those in its beginning."""
    one = readings[0] if len(readings) == 1 else None
    if one is not None and one.cut and one.reader in ("JSON lines", "CSV", "text, a document a line"):
        file.estimated = round((file.records + file.quarantined.total()) * (file.bytes or 0) / BEGINNING) or None


def _items(unit: Unit, file: FilePreview, readings: list[Reading], is_archive: bool, until: float) -> Iterator[Item]:
    """What is at the beginning of a file; the last item of a file that was cut is left out, unless it is the first."""
    before: Item | None = None
    for number, item in enumerate(read_unit(unit, Intake(readings=readings, beginning=BEGINNING))):
        if isinstance(item, Passed):
            yield item
            continue
        if before is not None:
            yield before
        before = item
        if number and number % 16 == 0 and time.monotonic() > until:
            file.whole = False
            break
        if is_archive and (len(readings) > _MEMBERS or any(reading.cut for reading in readings)):
            file.whole = False
            break
    cut = any(reading.cut for reading in readings)
    file.whole = file.whole and not cut
    if before is not None and not (cut and file.records and readings[-1].format not in ("records", "csv", "lines")):
        yield before


def _refuse(file: FilePreview, item: Refused) -> None:
    file.quarantined[item.reason] += 1
    file.steps[f"quarantined: {item.reason}"] += item.size
    if len(file.refused) < _REFUSED:
        file.refused.append(item)


def _clean(
    file: FilePreview, record: Record, settings: DocumentsSettings, readings: list[Reading], *, show: bool
) -> bool:
    """Clean a record as a build would. Returns whether a document came of it."""
    limit, size = settings.split_bytes, utf8_bytes(record.text)
    file.steps[Removal.AROUND] += record.size - size
    cut = any(reading.cut and reading.format == "whole" for reading in readings)
    if limit is None and (is_longer(record.text, settings.refuse_bytes) or (cut and _is_larger(file, settings))):
        details = f"refuse_bytes = {settings.refuse_bytes:,}; set `split_bytes` to cut it into documents"
        _refuse(file, Refused(record.entry, record.row, Reason.TOO_LONG, record.text[:120], details, size))
        return False
    text = normalize(record.text, settings.normalizing)
    if not text:
        _refuse(file, Refused(record.entry, record.row, Reason.EMPTY, record.text[:120], size=size))
        return False
    clean = utf8_bytes(text)
    pieces = [text] if limit is None else split_document(text, limit)
    kept = sum(map(utf8_bytes, pieces))
    file.steps[Removal.CLEANING] += size - clean
    file.steps[Removal.SPLITTING] += clean - kept
    file.documents += len(pieces)
    file.bytes_before += size
    file.bytes_after += kept
    language = record.lang or detect_language(text)[0]
    file.languages[language] += 1
    if show:
        before, after = (part[:_EXCERPT].encode("utf-8", "backslashreplace").decode() for part in (record.text, text))
        file.samples.append(
            SampleDocument(record.entry, record.row, record.group, language, size, before, after, len(pieces))
        )
    return True


def _size(unit: Unit) -> int | None:
    return None if unit.is_remote or unit.member is not None else Path(unit.path).stat().st_size


def _is_larger(file: FilePreview, settings: DocumentsSettings) -> bool:
    return file.bytes is not None and file.bytes > settings.refuse_bytes


def _beginning(unit: Unit) -> tuple[bytes, str]:
    """The first bytes of a file, where it is text, and its kind."""
    if unit.source.hub is not None:
        return b"", ".parquet"
    try:
        with closing(unit.open()) as packed:
            opened = unpacked(packed, unit.file_name)
            if opened.kind in ARCHIVES + TABLES or opened.kind in NOT_READ or opened.kind == BINARY:
                return b"", opened.kind
            return opened.file.read(_GUESSED_FROM), opened.kind
    except SqueezeError:
        raise
    except (MisnamedError, OSError, EOFError, ValueError, RuntimeError):  # which reading it says, in its own words
        return b"", ""
