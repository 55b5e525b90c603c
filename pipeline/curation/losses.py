"""What of a corpus's sources could not be read, said where people look; too much of it stops the build.

In: the quarantine of a corpus, with the bytes of every reason. Out: a warning with the share, the first names and what
to do, or the same as an error where the share of whole files is over `most_lost_share`; records within files that are
read never stop a build. A file of another encoding is opened once more
to name the encoding in which it reads like a language.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from typing import BinaryIO, Final, cast

from pipeline.base.errors import CurationError
from pipeline.base.numbers import size as size_of
from pipeline.curation.quarantine import Quarantined
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.sources.formats.reason import NO_LOSS, OF_FILES, Reason
from pipeline.curation.sources.guessing import cure_of_bad_bytes
from pipeline.curation.sources.kinds import ARCHIVES
from pipeline.curation.sources.packing import members, unpacked
from pipeline.curation.sources.unit import Unit

_LOOKED_AT: Final = 4 << 20
"""Bytes of a file that have to be in the encoding that is named."""
_CURES: Final = {
    Reason.NO_JSON: "set the source's `format` to what the file is",
    Reason.NO_FIELD: "set the source's `text_field`",
    Reason.NO_TEXT: "set the source's `text_field` to the field with the text",
    Reason.TOO_LONG: "set `split_bytes` to cut it into documents, or raise `refuse_bytes`",
    Reason.TOO_SLOW: "raise `document_seconds`",
    Reason.RAGGED: "set the source's `delimiter` or `quotes`",
}
log = logging.getLogger(__name__)


class Losses:
    """What was set aside of a corpus because it could not be read."""

    def __init__(
        self, corpus: str, settings: DocumentsSettings, quarantined: Quarantined, units: Sequence[Unit]
    ) -> None:
        self.corpus, self.settings, self.quarantined, self.units = corpus, settings, quarantined, units
        self.reasons = [Reason(reason) for reason, _ in quarantined.reasons.most_common() if reason not in NO_LOSS]

    def judge(self, kept: int) -> None:
        """Say what was lost beside so many bytes of documents. Raises CurationError where it is too much."""
        lost = sum(self.quarantined.bytes[reason] for reason in self.reasons)
        if not lost:
            return
        of_files, most = self.quarantined.bytes_of_files / (lost + kept), self.settings.most_lost_share
        said = f"{lost / (lost + kept):.1%} of the text could not be read ({size_of(lost)}, beside {size_of(kept)} of"
        said += " documents)"
        if of_files > most:
            raise CurationError(
                f"corpus {self.corpus!r}: {said}, more than its most_lost_share of {most:.0%} allows:"
                f"{''.join(self.cures(alone=False))}\n  To go on without it set most_lost_share: {_above(of_files):g} "
                "on the corpus."
            )
        log.warning("%s: %s:%s", self.corpus, said, "".join(self.cures(alone=False)))

    def cures(self, *, alone: bool) -> list[str]:
        """A line a reason: how many, the first names, what to do. alone: whether the sources hold nothing else."""
        lines = []
        for reason in self.reasons:
            examples = self.quarantined.examples[reason]
            names = list(dict.fromkeys(str(item["entry"]) for item in examples))
            more = ", ..." if self.quarantined.reasons[reason] > len(examples) else ""
            cure = _CURES.get(reason, "")
            if reason is Reason.BAD_BYTES:
                cure = self._encoding(names[0], alone=alone)
            elif reason in OF_FILES:
                cure = "; ".join(dict.fromkeys(str(item["details"]) for item in examples))
            count = self.quarantined.reasons[reason]
            lines.append(f"\n  {count:,} {reason} ({', '.join(names)}{more})" + (f": {cure}" if cure else ""))
        return lines

    def _encoding(self, entry: str, *, alone: bool) -> str:
        unit = next((unit for unit in self.units if entry == unit.entry or entry.startswith(f"{unit.entry}/")), None)
        if unit is None or unit.hub is not None:
            return ""
        data = _beginning(unit, entry)
        if not data:
            return ""
        others = not alone and (len(self.units) > 1 or entry != unit.entry)
        return cure_of_bad_bytes(data, unit.source.encoding, whole=len(data) < _LOOKED_AT, alone=not others)


def _beginning(unit: Unit, entry: str) -> bytes:
    """The first bytes of a file, or of a member of an archive, that was read once already; none where that fails now:
    what is said of a loss is said all the same."""
    try:
        with closing(unit.open()) as packed:
            opened = unpacked(packed, unit.file_name)
            if opened.kind not in ARCHIVES:
                return opened.file.read(_LOOKED_AT)
            for member in members(opened.file, opened.kind):
                if entry == f"{unit.entry}/{member.name}":
                    with member.open() as file:
                        return unpacked(cast(BinaryIO, file), member.name).file.read(_LOOKED_AT)
    except Exception as error:
        log.debug("%s cannot be read again: %s", entry, error)
    return b""


def _above(share: float) -> float:
    """The share in hundredths, rounded up, so that it is enough."""
    return min(1.0, (int(share * 100) + 1) / 100)
