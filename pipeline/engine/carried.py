"""Parts on nodes that share nothing but a bucket: files travel by their hashes, paths as names below a root.

    run     paths become names below a root; files that arguments name are put in the bucket
    node    fetches those that it has not, and links them into a folder of the attempt's own, which is the root there
    node    what the part leaves in that folder is hashed and put in the bucket
    run     fetches what was left, into its place

A part sees local folders, as everywhere, and no other attempt's: of a folder that an argument names, nothing but the
files that arguments name too. What it is given is linked, so it must not write into a file that is there, only put
another in its place, as `whole_path` does.
A node keeps files by their hashes, up to a size, so what parts of one node write for others of it does not travel back.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from pipeline.base.errors import EngineError
from pipeline.base.files import TEMPORARY, sha256_of
from pipeline.base.lock import exclusive_if_free
from pipeline.store.remote.address import open_objects
from pipeline.store.remote.blobs import fetch_blob, put_blob

R = TypeVar("R")
NODE_VARIABLE: Final = "SQUEEZE_NODE"
"""Folder of a node for the files that it keeps; by default one for temporary files."""
BLOBS: Final = "blobs"
ATTEMPTS: Final = "attempts"
ELSEWHERE: Final = ".elsewhere"
"""Folder below a node's root for files that the run has outside its own, as those of sources are."""
_LOCK: Final = "lock"
_YOUNG: Final = 60.0
"""Seconds in which an attempt has surely locked its folder."""


class File(NamedTuple):
    """A file by its content."""

    sha256: str
    size: int


class Load(NamedTuple):
    """A part on its way to a node."""

    call: bytes
    """The function and its arguments."""
    references: list[Any]
    """Shared values, which the engine carries by itself."""
    files: Mapping[str, File]
    """By their names below the root."""
    folders: tuple[str, ...]
    address: str
    """Of the bucket."""
    kept_bytes: int
    """The most that the node keeps."""


class Unload(NamedTuple):
    """What came of a part."""

    result: bytes
    files: Mapping[str, File]


class Carrier:
    """The run's side: what it knows of which file is where."""

    def __init__(self, address: str, root: Path, kept_gb: float) -> None:
        """address: of the bucket. root: holds all that parts write, and most of what they read. kept_gb: of files, the
        most that a node keeps."""
        self._address, self._root, self._kept_bytes = address, root.absolute(), int(kept_gb * 1e9)
        self._known: dict[tuple[int, ...], File] = {}

    def load(self, function: Callable[..., Any], *task: Any) -> Load:
        """A part with all that it needs in the bucket. Raises BucketError, and what the disk raises (OSError)."""
        stream, names, references = io.BytesIO(), set[str](), list[Any]()
        _Pickler(stream, self._root, names, references).dump((function, task))
        paths = {name: _path_of(self._root, name) for name in sorted(names)}
        files = {name: self._put(path) for name, path in paths.items() if path.is_file()}
        folders = tuple(sorted({_folder(self._root, paths[name]) for name in names - files.keys()}))
        return Load(stream.getvalue(), references, files, folders, self._address, self._kept_bytes)

    def unload(self, unload: Unload) -> Any:
        """The part's result, once what it left is here. Raises as `fetch_blob`."""
        objects = open_objects(self._address)
        for name, file in unload.files.items():
            path = _path_of(self._root, name)
            if not (path.is_file() and self._known.get(_identity(path)) == file):
                fetch_blob(objects, file.sha256, file.size, path)
                self._known[_identity(path)] = file
        return _Unpickler(io.BytesIO(unload.result), functools.partial(_path_of, self._root), []).load()

    def _put(self, path: Path) -> File:
        identity = _identity(path)
        if identity not in self._known:
            sha256 = put_blob(open_objects(self._address), path)
            self._known[identity] = File(sha256, path.stat().st_size)
        return self._known[identity]


def with_files(files: tuple[Path, ...], function: Callable[..., R], *task: Any) -> R:
    """`function(*task)`, by a part whose arguments name the files that the function finds in folders."""
    return function(*task)


def run_carried(load: Load) -> Unload:
    """On a node: the part in a folder of its own. Raises what it raises, and as `fetch_blob` and `put_blob`."""
    node = _node_folder()
    with _attempt(node / ATTEMPTS) as root:
        given = {_bring(load, node / BLOBS, file, root / name) for name, file in load.files.items()}
        for name in load.folders:
            (root / name).mkdir(parents=True, exist_ok=True)
        function, task = _Unpickler(io.BytesIO(load.call), root.joinpath, load.references).load()
        result = function(*task)
        stream = io.BytesIO()
        _Pickler(stream, root, set(), []).dump(result)
        left = {
            file.relative_to(root).as_posix(): _leave(load, file, node / BLOBS)
            for file in sorted(root.rglob("*"))
            if file.is_file() and not file.name.endswith(TEMPORARY) and file.stat().st_ino not in given
        }
    _keep_within(node / BLOBS, load.kept_bytes)
    return Unload(stream.getvalue(), left)


def _name_of(root: Path, path: Path) -> str | None:
    """What a path is called on its way; none for one that means on a node what it means here."""
    if path.is_absolute() and ".." in path.parts:
        path = path.parent.resolve() / path.name
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return f"{ELSEWHERE}{path.as_posix()}" if path.is_absolute() and path.is_file() else None


def _path_of(root: Path, name: str) -> Path:
    """On the run's side, what is called so."""
    return Path(name.removeprefix(ELSEWHERE)) if name.startswith(f"{ELSEWHERE}/") else root / name


def _folder(root: Path, path: Path) -> str:
    """The folder that a part is to find: the path, or what it is to be in if it is not there."""
    return (path if path.is_dir() else path.parent).relative_to(root).as_posix()


def _node_folder() -> Path:
    """Where the node keeps files. Raises EngineError where another user could have put some there."""
    given = os.environ.get(NODE_VARIABLE)
    folder = Path(given) if given else Path(tempfile.gettempdir()) / f"squeeze-node-{os.getuid()}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if folder.stat().st_uid != os.getuid():
        raise EngineError(f"{folder} is another user's: name a folder of your own by {NODE_VARIABLE} on this node")
    for name in (BLOBS, ATTEMPTS):
        (folder / name).mkdir(exist_ok=True)
    return folder


@contextmanager
def _attempt(attempts: Path) -> Iterator[Path]:
    """The root of one attempt; those of attempts that were killed go on the way."""
    for other in attempts.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - other.stat().st_mtime > _YOUNG:
                with exclusive_if_free(other / _LOCK) as abandoned:
                    if abandoned:
                        shutil.rmtree(other, ignore_errors=True)
    own = Path(tempfile.mkdtemp(dir=attempts))
    try:
        with exclusive_if_free(own / _LOCK):
            (own / "root").mkdir()
            yield own / "root"
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _bring(load: Load, blobs: Path, file: File, path: Path) -> int:
    """Have a file of the part's at its place, from what the node keeps or else from the bucket; returns its inode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = blobs / file.sha256
    try:
        os.link(kept, path)
        os.utime(path)
    except FileNotFoundError:
        fetch_blob(open_objects(load.address), file.sha256, file.size, path)
        _keep(path, kept)
    return path.stat().st_ino


def _leave(load: Load, file: Path, blobs: Path) -> File:
    sha256 = put_blob(open_objects(load.address), file, sha256_of(file))
    with file.open("rb") as content:
        os.fsync(content.fileno())  # a power cut must not leave other bytes under the hash
    _keep(file, blobs / sha256)
    return File(sha256, file.stat().st_size)


def _keep(file: Path, kept: Path) -> None:
    with suppress(FileExistsError):
        os.link(file, kept)


def _keep_within(blobs: Path, most_bytes: int) -> None:
    """Remove what was used longest ago, where a node keeps more than it may."""
    every = []
    for file in blobs.iterdir():
        with suppress(FileNotFoundError):
            status = file.stat()
            every.append((status.st_mtime, status.st_size, file))
    size = sum(one for _, one, _ in every)
    for _, one, file in sorted(every):
        if size <= most_bytes:
            return
        file.unlink(missing_ok=True)
        size -= one


def _identity(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


class _Pickler(pickle.Pickler):
    """Writes paths below a root as their names, and what only the engine can carry as its place in a list."""

    def __init__(self, stream: io.BytesIO, root: Path, names: set[str], references: list[Any]) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._root, self._names, self._references = root, names, references

    def persistent_id(self, value: Any) -> tuple[str, Any] | None:
        if isinstance(value, Path) and (name := _name_of(self._root, value)) is not None:
            self._names.add(name)
            return "path", name
        if isinstance(value, _reference_type()):
            self._references.append(value)
            return "reference", len(self._references) - 1
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, place: Callable[[str], Path], references: list[Any]) -> None:
        super().__init__(stream)
        self._place, self._references = place, references

    def persistent_load(self, pid: tuple[str, Any]) -> Any:
        kind, value = pid
        return self._place(value) if kind == "path" else self._references[value]


@functools.cache
def _reference_type() -> type:
    import ray

    return ray.ObjectRef
