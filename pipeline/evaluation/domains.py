"""Documents of domains that a model was not trained on, read as a corpus's are and kept nowhere.

In: the sources of a domain, as of a corpus. Out: some of its documents, cleaned and split as a corpus's would be; which
ones is decided by the hashes of their texts, so that they are of all its files.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from pipeline.base.errors import NotPossibleError, SourceError, UnreachableError
from pipeline.base.settings import Settings
from pipeline.curation.doc_ids import doc_id
from pipeline.curation.signals.language import detect_language
from pipeline.curation.sources.formats.record import Record
from pipeline.curation.sources.intake import Intake
from pipeline.curation.sources.settings import Source
from pipeline.curation.sources.unit_listing import list_units, local_files
from pipeline.curation.sources.unit_reading import read_unit
from pipeline.curation.text.normalizing import normalize
from pipeline.curation.text.settings import Normalizing
from pipeline.curation.text.splitting import split_document
from pipeline.evaluation.heldout import UNKNOWN_LANGUAGE, Heldout


class Domain(Settings):
    """A kind of text, and where there is some."""

    sources: list[Source] = Field(min_length=1)
    """As of a corpus. None of them may be among a training corpus's."""
    normalizing: Normalizing = Normalizing()
    split_bytes: int = Field(16_000, ge=256)
    """Longest document in bytes; longer ones are cut at paragraph boundaries."""

    def local_files(self) -> dict[str, str]:
        """SHA-256 of each local file of the sources, by name."""
        return {name: content for name, content in local_files(self.sources)}  # noqa: C416 (lists of two)


def read_domain(name: str, domain: Domain, cache: Path, maximum_bytes: int) -> Heldout:
    """Whole documents until `maximum_bytes` is reached, those whose texts have the smallest hashes, each text once.

    Raises:
        NotPossibleError: a source cannot be reached, or there is no document in any.
        SourceError: a source is damaged or matches no file.
    """
    try:
        found = {doc_id(text.encode()): (text, lang) for text, lang in _documents(domain, cache)}
    except UnreachableError as error:
        raise NotPossibleError(f"domain {name}: {error}", passing=True) from error
    except SourceError as error:
        raise SourceError(f"domain {name}: {error}") from error
    if not found:
        raise NotPossibleError(f"domain {name}: no document came out of {', '.join(s.label for s in domain.sources)}")
    chosen = [found[key] for key in sorted(found)]
    sizes = [len(text.encode()) for text, _ in chosen]
    before = itertools.accumulate(sizes, initial=0)
    count = sum(size < maximum_bytes for size in itertools.islice(before, len(sizes)))
    texts, languages = zip(*chosen[:count], strict=True)
    return Heldout(name, list(texts), list(languages), sizes[:count])


def _documents(domain: Domain, cache: Path) -> Iterator[tuple[str, str]]:
    """Each document's text and language."""
    for unit in list_units(domain.sources, cache).units:
        for record in read_unit(unit, Intake()):
            if isinstance(record, Record):
                text = normalize(record.text, domain.normalizing)
                for piece in split_document(text, domain.split_bytes) if text else []:
                    yield piece, record.lang or detect_language(piece)[0] or UNKNOWN_LANGUAGE
