"""What was fetched of the hub's files, kept: ranges of bytes of files at a commit, in a cache with a size limit.

In: a file, and ranges that somebody needs. Out: those of them that are not there, to be fetched, and the file as if it
were whole, of which only the kept ranges can be read. A range is a file of its own, there once it is complete, so a
kill loses the one that was on its way; a profile that needs the same ranges finds them. A range that was read counts as
used, and the ones used longest ago go where the cache outgrows its limit. A commit's bytes never change, so nothing is
stale.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from pipeline.base.files import TEMPORARY, naming_full_disk, whole_file
from pipeline.base.lock import exclusive_if_free
from pipeline.curation.sources.hub.transfer import HubFile, Transfer

KEPT_BYTES: Final = 20_000_000_000
"""What the cache holds at most, unless a profile says otherwise."""
FOLDER: Final = "hub"
_ENDING: Final = ".range"
_JOIN: Final = 1 << 20
"""Bytes between two ranges up to which one request for both is cheaper than two."""
_ABANDONED: Final = 86_400.0
"""Seconds after which nobody writes any more to what a killed process had of a range."""
Range = tuple[int, int]


@dataclass(frozen=True)
class KeptFile:
    """The kept ranges of a file."""

    folder: Path
    size: int

    @classmethod
    def of(cls, cache: Path, file: HubFile, size: int) -> KeptFile:
        return cls(folder_of(cache, file.dataset, file.commit) / "files" / file.path, size)

    def missing(self, ranges: Iterable[Range]) -> list[Range]:
        """Those that are not kept, in their order."""
        return [wanted for wanted in ranges if wanted[0] < wanted[1] and not self._holds(wanted)]

    def add(self, wanted: Range, pieces: Iterator[bytes]) -> None:
        """Write a range as it comes; it is kept once it is whole. Raises OSError, and what the pieces raise."""
        with whole_file(self._place(wanted)) as file:
            for piece in pieces:
                file.write(piece)

    def read(self, wanted: Range) -> bytes:
        """A kept range. Raises FileNotFoundError where it is not kept."""
        place = self._place(wanted)
        os.utime(place)
        return place.read_bytes()

    def forget(self, ranges: Iterable[Range]) -> None:
        """Let ranges be fetched anew, because what is in them is damaged."""
        for wanted in ranges:
            self._place(wanted).unlink(missing_ok=True)

    def open(self, ranges: Sequence[Range]) -> BinaryIO:
        """The file with nothing in it but these ranges, which are kept. Raises FileNotFoundError where one is not."""
        for wanted in ranges:
            os.utime(self._place(wanted))
        return cast(BinaryIO, io.BufferedReader(_Pieces(self, ranges), 1 << 16))

    def _holds(self, wanted: Range) -> bool:
        try:
            return self._place(wanted).stat().st_size == wanted[1] - wanted[0]
        except FileNotFoundError:
            return False

    def _place(self, wanted: Range) -> Path:
        return self.folder / f"{wanted[0]}-{wanted[1]}{_ENDING}"


class _Pieces(io.RawIOBase):
    """A file of which some ranges are there; reading any other byte is an error."""

    def __init__(self, kept: KeptFile, ranges: Sequence[Range]) -> None:
        super().__init__()
        self._kept, self._ranges = kept, sorted(ranges)
        self._at = 0
        self._open: tuple[Range, BinaryIO] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._kept.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._kept.size:
            return 0
        wanted = next((r for r in self._ranges if r[0] <= self._at < r[1]), None)
        if wanted is None:
            raise OSError(f"byte {self._at:,} was not fetched")
        if self._open is None or self._open[0] != wanted:
            self._close()
            self._open = (wanted, self._kept._place(wanted).open("rb"))
        file = self._open[1]
        file.seek(self._at - wanted[0])
        read = file.readinto(buffer)  # type: ignore[attr-defined]
        self._at += read
        return int(read)

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def close(self) -> None:
        self._close()
        super().close()


def folder_of(cache: Path, dataset: str, commit: str) -> Path:
    """Where what is kept of a data set at a commit lies."""
    return cache / FOLDER / dataset.replace("/", "--") / re.sub(r"[^\w.-]", "_", commit)


def joined(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    """Ranges in the order of the file, those that lie close to each other together: one request gets them."""
    run: list[Range] = []
    for wanted in sorted(ranges):
        if run and wanted[0] - run[-1][1] > _JOIN:
            yield run
            run = []
        run.append(wanted)
    if run:
        yield run


def fetch_ranges(transfer: Transfer, file: HubFile, kept: KeptFile, ranges: Iterable[Range]) -> int:
    """Fetch those of the ranges that are not kept, each kept as soon as it is whole; returns the bytes that came.

    Raises:
        SourceError: the file cannot be read.
        DiskFullError: there is no room for a range.
    """
    came = 0
    with naming_full_disk(kept.folder, str(file)):
        for run in joined(kept.missing(ranges)):
            stream = _Stream(transfer.stream(file, run[0][0], run[-1][1]), run[0][0])
            for wanted in run:
                stream.skip_to(wanted[0])
                kept.add(wanted, stream.take(wanted[1]))
            came += run[-1][1] - run[0][0]
    return came


class _Stream:
    """Bytes of a file as they come, cut where somebody wants them cut."""

    def __init__(self, pieces: Iterator[bytes], at: int) -> None:
        self._pieces, self._at, self._rest = pieces, at, b""

    def take(self, stop: int) -> Iterator[bytes]:
        """The bytes up to `stop`."""
        while self._at < stop:
            piece = self._rest or next(self._pieces)
            piece, self._rest = piece[: stop - self._at], piece[stop - self._at :]
            self._at += len(piece)
            yield piece

    def skip_to(self, place: int) -> None:
        for _ in self.take(place):
            pass


def trim(cache: Path, most: int) -> int:
    """Remove the ranges that were used longest ago until no more than `most` bytes are kept; returns how many go.

    Nothing happens where another process is at it.
    """
    folder = cache / FOLDER
    with exclusive_if_free(cache / f"{FOLDER}.lock") as free:
        if not free:
            return 0
        ranges = []
        for place in folder.rglob(f"*{_ENDING}*"):
            with contextlib.suppress(FileNotFoundError):
                stat = place.stat()
                if place.suffix == _ENDING:
                    ranges.append((stat.st_mtime, stat.st_size, place))
                elif place.suffix == TEMPORARY and time.time() - stat.st_mtime > _ABANDONED:
                    place.unlink()
        over = sum(size for _, size, _ in ranges) - most
        gone = 0
        for _, size, place in sorted(ranges, key=lambda item: item[0]):
            if gone >= over:
                break
            place.unlink(missing_ok=True)
            gone += size
    return gone
