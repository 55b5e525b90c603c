"""What a manifest keeps of `documents/<corpus>`: numbers that stay few, however many files and documents there are.

In: the parts and the files beside them. Out: `DocumentsSummary`.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.base.distinct import distinct
from pipeline.base.errors import CurationError
from pipeline.curation.byte_counts import ByteCounts, Tally, byte_counts, mask_counts
from pipeline.curation.heldout import group_keys
from pipeline.curation.losses import Losses
from pipeline.curation.quarantine import Quarantined
from pipeline.curation.readings import chosen_readers
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.sources.unit_listing import Listing
from pipeline.curation.tables import ColumnsHash, iter_parts, parts

UNKNOWN_LANGUAGES: Final = ".unknown_languages.json"
"""Ending of the file beside a part that counts what its rows said in place of a language's code; the rest under ""."""
_MOST_SHOWN: Final = 20
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DocumentsSummary:
    """What `documents/<corpus>` holds. `languages` and `quarantined` count documents, by language and by reason.

    Raises CurationError where the counts of bytes are not those of the documents, or do not add up.
    """

    content_hash: str
    documents: int
    bytes: int
    groups: int
    languages: dict[str, int]
    quarantined: dict[str, int]
    quarantine_examples: list[dict[str, str | int]]
    readers: dict[str, str] = field(default_factory=dict)
    """How files are read whose content decided it and not their name: the first of them."""
    unknown_languages: dict[str, int] = field(default_factory=dict)
    """What rows said in place of a language's code, so that it was detected: the most frequent, with their records."""
    files: int = 0
    """Files, members of archives or shards that documents came from."""
    masks: dict[str, int] = field(default_factory=dict)
    """E-mail addresses, IP addresses and phone numbers that constants stand for in the documents."""
    byte_counts: ByteCounts | None = None
    """Where every byte of the sources is; None of documents that were built before it was counted."""

    def __post_init__(self) -> None:
        if self.byte_counts is not None and self.byte_counts.kept != self.bytes:
            raise CurationError(
                f"{self.bytes:,} bytes are in documents, but {self.byte_counts.kept:,} are counted as kept: "
                "materialize the documents again"
            )


def summarise(
    corpus: str, settings: DocumentsSettings, columns: Sequence[str], out: Path, listing: Listing
) -> DocumentsSummary:
    """The summary of a corpus whose parts are all there, with `columns`. Raises CurationError where none has rows,
    or too much of the sources was lost."""
    names = [name for name in columns if name != "text"]
    hashed = ColumnsHash(names)
    languages: Counter[str] = Counter()
    groups: list[np.ndarray] = []
    size = files = 0
    last = None
    for batch in iter_parts(out, names):
        hashed.update(batch)
        languages.update(batch.column("lang").to_pylist())
        sources = batch.column("source").to_pylist()  # the rows of a file stand together
        files += sum(name != before for before, name in pairwise([last, *sources]))
        last = sources[-1] if sources else last
        groups.append(distinct(group_keys(corpus, 0, batch.column("group").to_pylist())))
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
    losses = Losses(corpus, settings, quarantined, listing.units)
    if hashed.rows == 0:
        where = ", ".join(source.label for source in settings.sources)
        told = "".join(losses.cures(alone=True))
        raise CurationError(
            f"corpus {corpus!r} has no documents: nothing usable came from {where} ({quarantined}){told}"
        )
    losses.judge(size)
    return DocumentsSummary(
        content_hash=hashed.hexdigest(),
        documents=hashed.rows,
        bytes=size,
        groups=len(distinct(np.concatenate(groups))),
        languages=dict(languages.most_common()),
        quarantined=dict(quarantined.reasons.most_common()),
        quarantine_examples=[item for some in quarantined.examples.values() for item in some],
        readers=chosen_readers(corpus, out),
        unknown_languages=dict(unknown_languages.most_common(_MOST_SHOWN)),
        files=files,
        masks=mask_counts(parts(out)),
        byte_counts=byte_counts(parts(out), _left_out(listing), quarantined.bytes, size, listing.unmeasured),
    )


def _left_out(listing: Listing) -> Tally:
    """What is in no unit: left out by a setting, or set aside."""
    removed = Counter({removal.value: size for removal, size in listing.passed.items()})
    return Tally(removed.total() + sum(item.size for _, item in listing.left_out), removed)
