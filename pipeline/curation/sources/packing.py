"""Packed files: decompressed, and archives opened member by member.

In: an open file and its name. Out: the files in it. How a file is packed is seen as `kinds` sees it.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any, BinaryIO, Final, cast

import pyarrow as pa

from pipeline.curation.sources.kinds import COMPRESSED, LOOKED_AT, SHORT, MisnamedError, kind_of
from pipeline.curation.sources.names import printable

Opener = Callable[[], IO[bytes]]
_BUFFER: Final = 1 << 18
_MOST_LAYERS: Final = 8


@dataclass(frozen=True)
class Unpacked:
    """A file decompressed: its kind is what it is then, `layers` how it was compressed."""

    file: io.BufferedReader
    kind: str
    layers: tuple[str, ...] = ()
    by_content: bool = False
    """Whether its content said what it is, or how it was compressed, and not its name."""


def unpacked(file: BinaryIO, name: str) -> Unpacked:
    """A file decompressed as often as it was compressed. Raises MisnamedError."""
    layers: tuple[str, ...] = ()
    by_content = False
    while True:
        head = _buffered(file)
        kind, seen = kind_of(name, head.peek(LOOKED_AT)[:LOOKED_AT])
        by_content |= seen
        if kind not in COMPRESSED:
            return Unpacked(head, kind, layers, by_content)
        if len(layers) == _MOST_LAYERS:
            raise MisnamedError(f"it is compressed more than {_MOST_LAYERS} times over: unpack it")
        layers += (kind,)
        file, name = _decompressed(head, kind[1:]), _without(name, kind)


def members(file: BinaryIO, kind: str) -> Iterator[tuple[str, Opener]]:
    """Name of every file in an archive, and how it is opened, in the archive's order; each before the next is taken.

    Raises tarfile.TarError, zipfile.BadZipFile and what decompressing raises.
    """
    if kind == ".zip":
        with zipfile.ZipFile(file) as packed:
            for info in packed.infolist():
                if not info.is_dir():
                    yield _plain(info.filename), partial(packed.open, info)
        return
    with tarfile.open(fileobj=file, mode="r|", bufsize=_BUFFER, tarinfo=_Header, errorlevel=2) as tar:
        for member in tar:
            if member.isfile():
                yield _plain(member.name), partial(_extracted, tar, member)


def _extracted(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], tar.extractfile(member))


def _plain(name: str) -> str:
    return printable(posixpath.normpath(name).lstrip("/"))


def _without(name: str, kind: str) -> str:
    last = PurePosixPath(name).suffix
    if last.lower() in SHORT:
        return name[: -len(last)] + ".tar"
    return name[: -len(last)] if last.lower() == kind else name


def _decompressed(file: io.BufferedReader, kind: str) -> BinaryIO:
    from fsspec.compression import compr
    from fsspec.utils import compressions

    if kind == "zst":  # arrow's reader says when a stream ends too early, fsspec's does not
        return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"))
    if kind not in compressions:
        raise NotImplementedError(f"reading .{kind} needs a package that is not installed: compress it as .gz or .zst")
    return cast(BinaryIO, compr[compressions[kind]](file, mode="r"))


def _buffered(file: Any) -> io.BufferedReader:
    return file if isinstance(file, io.BufferedReader) else io.BufferedReader(file, _BUFFER)


class _Header(tarfile.TarInfo):
    """A member's header; one that is cut off or damaged is an error, where tarfile takes it for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Any:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"the archive is cut off or damaged after {tarfile_.offset:,} bytes") from error
