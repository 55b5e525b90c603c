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

_BUFFER: Final = 1 << 18
_MOST_LAYERS: Final = 8


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    open: Callable[[], IO[bytes]]
    size: int
    """Bytes as it lies there, as the archive says."""
    stop: int = 0
    """Where it ends in a tar archive, in bytes."""


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


def members(file: BinaryIO, kind: str) -> Iterator[Member]:
    """Every file in an archive, in the archive's order; each has to be opened before the next is taken.

    Raises tarfile.TarError, zipfile.BadZipFile and what decompressing raises.
    """
    if kind == ".zip":
        with zipfile.ZipFile(file) as packed:
            for info in packed.infolist():
                if not info.is_dir():
                    yield Member(_plain(info.filename), partial(packed.open, info), max(info.compress_size, 0))
        return
    how: Any = {"bufsize": _BUFFER, "tarinfo": _Header, "errorlevel": 2, "ignore_zeros": True}
    with tarfile.open(fileobj=file, mode="r|", **how) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined] # it keeps them all, of which there may be millions
            if member.isfile():
                stop = member.offset_data + -(-max(member.size, 0) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                yield Member(_plain(member.name), partial(_extracted, tar, member), max(member.size, 0), stop)


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
    if isinstance(file, io.BufferedReader):
        return file
    return io.BufferedReader(cast(io.RawIOBase, _AsItComes(file)) if hasattr(file, "read1") else file, _BUFFER)


class _AsItComes(io.RawIOBase):
    """A decompressed file whose bytes are given as they come: those before a damage are not lost with it."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        data = self._file.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        try:
            self._file.close()
        finally:
            super().close()


class _Header(tarfile.TarInfo):
    """A member's header; one that is cut off or damaged is an error, where tarfile takes it for the archive's end.

    Archives may stand one behind the other, as `cat` puts them: only the end of the file is the end.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Any:
        ended, tarfile_.ended = getattr(tarfile_, "ended", False), False  # type: ignore[attr-defined]
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            tarfile_.ended = True  # type: ignore[attr-defined]
            raise
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError):  # type: ignore[attr-defined]
            if not ended:
                raise cls._damage(tarfile_) from None
            raise
        except tarfile.HeaderError as error:
            raise cls._damage(tarfile_) from error

    @classmethod
    def _damage(cls, tarfile_: tarfile.TarFile) -> tarfile.ReadError:
        return tarfile.ReadError(f"the archive is cut off or damaged after {tarfile_.offset:,} bytes")
