"""Packed files: decompressed, and archives opened member by member.

In: an open file and its name. Out: the files in it. The name says how a file is packed, and where it says nothing its
first bytes do. What is not read (another archive in an archive, `.7z`, a PDF) is refused by name.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any, BinaryIO, Final, cast

import pyarrow as pa

from pipeline.curation.sources.names import printable

Opener = Callable[[], IO[bytes]]
_BUFFER: Final = 1 << 18
_SHORT: Final = {
    ".tgz": (".tar", "gz"),
    ".tbz": (".tar", "bz2"),
    ".tbz2": (".tar", "bz2"),
    ".txz": (".tar", "xz"),
    ".tzst": (".tar", "zst"),
}
_COMPRESSED: Final = ("gz", "bz2", "xz", "lzma", "zst", "lz4", "snappy")
_BEGINNINGS: Final = {
    b"\x1f\x8b\x08": ".gz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"\xfd7zXZ\x00": ".xz",
    b"PK\x03\x04": ".zip",
    b"PK\x05\x06": ".zip",
    b"PAR1": ".parquet",
    b"7z\xbc\xaf\x27\x1c": ".7z",
    b"Rar!\x1a\x07": ".rar",
    b"%PDF-": ".pdf",
    b"SQLite format 3\x00": ".sqlite",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"\x7fELF": ".so",
}
ARCHIVES: Final = (".zip", ".tar")
NOT_READ: Final = frozenset(
    ".7z .rar .z .br .lzo .sz .cab .iso .dmg .deb .rpm .jar .pdf .doc .docx .xls .xlsx .ppt .pptx .odt .ods "
    ".epub .mobi .azw3 "
    ".djvu .jpg .jpeg .png .gif .bmp .tif .tiff .webp .ico .mp3 .mp4 .ogg .wav .flac .avi .mov .mkv .webm .exe "
    ".dll .so .o .pyc .class .bin .sqlite .db .npy .npz .pkl .pt .safetensors .arrow .feather .orc .avro .woff .woff2 "
    ".ttf .otf".split()
)
"""Endings of files that hold no text that could be read."""


def unpacked(file: BinaryIO, name: str) -> tuple[BinaryIO, str]:
    """A file decompressed, and the ending that says what it is then."""
    while True:
        head = _buffered(file)
        kind = _kind(name, head)
        if kind[1:] not in _COMPRESSED:
            return cast(BinaryIO, head), kind
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


def ending(name: str) -> str:
    """The ending of a file's name, in small letters, without that of its compression: `.jsonl` of `a.JSONL.gz`."""
    while True:
        last = PurePosixPath(name).suffix.lower()
        if last in _SHORT:
            return ".tar"
        if last[1:] not in _COMPRESSED:
            return last
        name = name[: -len(last)]


def _plain(name: str) -> str:
    return printable(posixpath.normpath(name).lstrip("/"))


def _kind(name: str, file: io.BufferedReader) -> str:
    """What a file is: by its name, or by how it begins where the name does not say how it is packed."""
    last = PurePosixPath(name).suffix.lower()
    if last in _SHORT:
        return "." + _SHORT[last][1]
    if last[1:] in _COMPRESSED or last in ARCHIVES or last in NOT_READ or last == ".parquet":
        return last
    head = file.peek(512)
    if head[257:262] == b"ustar":
        return ".tar"
    if head[:3] == b"BZh" and head[4:10] == b"1AY&SY":
        return ".bz2"
    return next((kind for beginning, kind in _BEGINNINGS.items() if head.startswith(beginning)), last)


def _without(name: str, kind: str) -> str:
    last = PurePosixPath(name).suffix
    if last.lower() in _SHORT:
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
