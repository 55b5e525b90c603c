"""From patterns of paths to the files they match, each with a name: the path below the pattern's fixed part.

In: one of a source's `files` on this machine. Out: files in the order of their paths, and what was left out. The fixed
part is what comes before the first wildcard, so `books/*/text.txt` names its files `a/text.txt`, `b/text.txt`, whatever
other files there are. A path that is there is taken as it is written, with whatever brackets or colons.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pipeline.base.errors import SourceError
from pipeline.curation.sources.formats.reason import Reason
from pipeline.curation.sources.formats.record import Refused

_LITTER: Final = ("__MACOSX", "Thumbs.db", "desktop.ini")


def matched_files(pattern: str) -> Iterator[tuple[str, str] | Refused]:
    """Path and name of every file that a pattern matches.

    Raises:
        SourceError: a path without wildcards is not there or is a folder, or a pattern matches folders only.
    """
    path = Path(pattern).expanduser().absolute()
    if path.is_dir():
        raise SourceError(f"{pattern} is a folder: write which of its files to read, such as {pattern.rstrip('/')}/*")
    if path.exists():
        yield str(path), printable(path.name)
        return
    if not glob.has_magic(str(path)):
        raise SourceError(f"{pattern} does not exist: correct the source's `files`")
    fixed, wild = _fixed_part(str(path))
    shown_anyway = any(part.startswith(".") for part in wild)
    paths = {name: fixed / name for name in sorted(_below(fixed, wild))}
    files = {name: path for name, path in paths.items() if not path.is_dir()}
    if paths and not files:
        raise SourceError(f"{pattern} matches folders only: to read the files in them write {pattern.rstrip('/')}/*")
    for name, path in files.items():
        if is_hidden(name) and not shown_anyway:
            yield Refused(printable(name), 0, Reason.HIDDEN, "", size=path.stat().st_size if path.is_file() else 0)
        elif path.is_file():
            yield str(path), printable(name)
        else:
            details = "a link that leads nowhere" if path.is_symlink() else "no regular file"
            yield Refused(printable(name), 0, Reason.UNREADABLE, "", details)


def placed(pattern: str, folder: str) -> str:
    """A pattern below the folder, where it is relative; as it is where that alone matches anything."""
    beside = os.path.join(folder, Path(pattern).expanduser())  # noqa: PTH118 - a pattern is no path
    return beside if _is_matched(beside) or not _is_matched(pattern) else pattern


def _is_matched(pattern: str) -> bool:
    path = Path(pattern).expanduser().absolute()
    return path.exists() or (glob.has_magic(str(path)) and _is_there(*_fixed_part(str(path))))


def is_hidden(name: str) -> bool:
    """Whether a path is, or lies in, what a system or an editor put there: `._a.txt`, `.ipynb_checkpoints/a.txt`."""
    return any((part.startswith(".") and part not in (".", "..")) or part in _LITTER for part in name.split("/"))


def printable(path: str) -> str:
    """A path as text that can be written: bytes in it that are no UTF-8 are spelled `\\xe9`."""
    return os.fsencode(path).decode("utf-8", errors="backslashreplace")


def distinct(names: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Names of files, where different files have one name with as many of their folders before it as tells them apart.

    paths: of the same files; those of equal paths keep equal names.
    """
    of_name: dict[str, dict[str, None]] = {}
    for name, path in zip(names, paths, strict=True):
        of_name.setdefault(name, {})[path] = None
    longer: dict[tuple[str, str], str] = {}
    for name, several in of_name.items():
        if len(several) > 1:
            parts = [re.split("/+", printable(path)) for path in several]
            depths = range(name.count("/") + 2, max(map(len, parts)) + 1)
            endings = (["/".join(part[-depth:]) for part in parts] for depth in depths)
            told_apart = next((ends for ends in endings if len(set(ends)) == len(ends)), list(several))
            longer.update({(name, path): ending for path, ending in zip(several, told_apart, strict=True)})
    return [longer.get((name, path), name) for name, path in zip(names, paths, strict=True)]


def _fixed_part(path: str) -> tuple[Path, list[str]]:
    """The folder before the first wildcard, and the parts of the pattern below it.

    Brackets are themselves where something of that name is there, else a choice of characters.
    """
    fixed = Path("/")
    wild: list[str] = []
    for part in path.split("/")[1:]:
        literal = part.replace("[", "[[]")
        chosen = literal if "[" in part and _is_there(fixed, [*wild, literal]) else part
        if not wild and (not glob.has_magic(part) or glob.escape(part) == chosen):
            fixed /= part
        else:
            wild.append(chosen)
    return fixed, wild


def _is_there(fixed: Path, wild: Sequence[str]) -> bool:
    return next(_below(fixed, wild), None) is not None


def _below(folder: Path, wild: Sequence[str]) -> Iterator[str]:
    """Paths under a folder that match; `**` is any number of folders, and follows no links, which may go in circles."""
    if "**" not in wild:
        yield from _one_by_one(folder, wild)
        return
    for place, folders, files in os.walk(folder):
        folders.sort()
        inside = Path(place).relative_to(folder).parts
        for name in [*sorted(files), *folders]:
            if _matches([*inside, name], wild):
                yield "/".join([*inside, name])


def _one_by_one(folder: Path, wild: Sequence[str]) -> Iterator[str]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except PermissionError as error:
        raise SourceError(f"{printable(str(folder))} may not be read: correct its permissions") from error
    except OSError:  # no folder
        return
    for name in fnmatch.filter(names, wild[0]):
        if len(wild) == 1:
            yield name
        else:
            yield from (f"{name}/{below}" for below in _one_by_one(folder / name, wild[1:]))


def _matches(parts: Sequence[str], wild: Sequence[str]) -> bool:
    if not wild:
        return not parts
    if wild[0] == "**":
        return any(_matches(parts[skipped:], wild[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], wild[0]) and _matches(parts[1:], wild[1:])
