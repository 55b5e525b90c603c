"""A bucket as the store uses it: small objects that are read whole, created once, or replaced while unchanged.

In: an address that obstore knows (`s3://bucket/prefix`, `gs://`, `az://`, `file:///folder`). Out: `Objects`. Whatever
the network or the bucket raises is one of the project's errors: a sentence without credentials.

Two answers of a bucket are not what they seem. A request whose answer was lost is sent again by the library and meets
its own object: "exists" may mean "mine". And S3 answers a race that has no winner yet (409) as it answers "exists". So
`create` and `replace` read what is there before they say who won.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import BucketError, BucketUnreachableError
from pipeline.base.lock import exclusive

_TRIES: Final = 8
"""Answers "exists" with nothing there that are taken for a race without a winner yet."""
_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
LOCKS: Final = ".locks"
"""Folder of a bucket that is a folder, where replacing takes a lock: a file system compares nothing."""

Version = Any
"""What a bucket calls a state of an object, as obstore hands it out: compared by the bucket alone."""


@dataclass(frozen=True)
class Entry:
    """An object in a listing."""

    name: str
    bytes: int
    modified: datetime
    """By the bucket's own clock."""


@dataclass
class Traffic:
    """What this process has asked of a bucket: requests by kind, and bytes of files and objects both ways."""

    requests: dict[str, int]
    sent: int = 0
    received: int = 0


class Objects:
    """The objects below one address."""

    def __init__(self, store: Any, address: str, *, folder: Path | None = None) -> None:
        """store: one of obstore's. address: what people know it by. folder: where it is, if it is a folder."""
        self.store = store
        self.address = address.rstrip("/")
        self.traffic = Traffic({})
        self._folder = folder
        self._counting = threading.Lock()

    def where(self, name: str) -> str:
        """An object's address, for people."""
        return f"{self.address}/{name}"

    def read(self, name: str) -> bytes | None:
        """An object's bytes, or None where there is none."""
        found = self.read_version(name)
        return found[0] if found else None

    def read_version(self, name: str) -> tuple[bytes, Version] | None:
        """As `read`, with the version that `replace` takes."""
        import obstore

        with self.asking("get", name):
            try:
                answer = obstore.get(self.store, name)
                data = bytes(answer.bytes())
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None
        self.moved(received=len(data))
        return data, _version(answer.meta)

    def create(self, name: str, data: bytes) -> bool:
        """Make an object that is not there yet. True: it holds `data` now; False: somebody else's was before."""
        return self.replace(name, data, None) is not None

    def replace(self, name: str, data: bytes, version: Version | None) -> Version | None:
        """Put `data` in the place of the version that was read, or of nothing (None).

        Returns the new version; None where the object is another by now, which stays. No two calls may bring the same
        `data` and mean different things by it: a lost answer is told from another's success by the bytes.
        """
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        for attempt in range(_TRIES):
            try:
                return self._put(name, data, "create") if version is None else self._put_over(name, data, version)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                found = self.read_version(name)
            if found is not None:
                return found[1] if found[0] == data else None
            if version is not None:  # it was taken away
                return None
            time.sleep(min(0.05 * 2**attempt, 2.0))
        raise BucketUnreachableError(f"{self.where(name)}: the bucket says that it is there, and that it is not")

    def write(self, name: str, data: bytes) -> None:
        """Put an object in the place of whatever is there."""
        self._put(name, data, "overwrite")

    def delete(self, name: str) -> None:
        """Take an object away, if it is there."""
        import obstore

        with self.asking("delete", name):
            try:
                obstore.delete(self.store, name)
            except FileNotFoundError as error:
                self._require_bucket(error)

    def rename(self, name: str, to: str) -> None:
        """Give an object another name, if it is there."""
        import obstore

        with self.asking("copy", name):
            try:
                obstore.copy(self.store, name, to)
            except FileNotFoundError as error:
                self._require_bucket(error)
                return
        self.delete(name)

    def entry(self, name: str) -> Entry | None:
        """An object as a listing shows it, or None where there is none."""
        import obstore

        with self.asking("head", name):
            try:
                found = obstore.head(self.store, name)
                return Entry(name, found["size"], found["last_modified"])
            except FileNotFoundError as error:
                self._require_bucket(error)
                return None

    def entries(self, folder: str) -> Iterator[Entry]:
        """Every object below a folder, by name."""
        import obstore

        pages = iter(obstore.list(self.store, folder, chunk_size=1000))
        while True:
            with self.asking("list", folder):
                page = next(pages, None)
            if page is None:
                return
            yield from (Entry(item["path"], item["size"], item["last_modified"]) for item in page)

    @contextmanager
    def asking(self, kind: str, name: str) -> Iterator[None]:
        """Count a request, and say in a sentence what goes wrong with it. A missing object, and one that is there
        against a condition, stay what obstore raises."""
        from obstore.exceptions import (
            AlreadyExistsError,
            BaseError,
            PermissionDeniedError,
            PreconditionError,
            UnauthenticatedError,
        )

        with self._counting:
            self.traffic.requests[kind] = self.traffic.requests.get(kind, 0) + 1
        try:
            yield
        except (AlreadyExistsError, PreconditionError):
            raise
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise BucketError(
                f"{self.where(name)}: this machine's credentials do not allow this ({kind}: {_first_line(error)}); "
                "docs/cluster.md says where credentials are looked for, and which rights they need"
            ) from None
        except BaseError as error:
            self._require_bucket(error)
            raise BucketUnreachableError(
                f"{self.where(name)}: the bucket cannot be reached, or does not do what it is asked "
                f"({kind}: {_first_line(error)})"
            ) from None

    def moved(self, *, sent: int = 0, received: int = 0) -> None:
        """Count bytes of a request."""
        with self._counting:
            self.traffic.sent += sent
            self.traffic.received += received

    def _put(self, name: str, data: bytes, mode: Any) -> Version:
        import obstore

        with self.asking("put", name):
            try:
                done = obstore.put(self.store, name, data, mode=mode, use_multipart=False)
            except FileNotFoundError as error:
                self._require_bucket(error)
                raise
        self.moved(sent=len(data))
        return _version(done)

    def _put_over(self, name: str, data: bytes, version: Version) -> Version:
        """Raises PreconditionError, or FileNotFoundError, where the object is another by now, or gone."""
        from obstore.exceptions import PreconditionError

        if self._folder is None:
            return self._put(name, data, dict(version))
        lock = self._folder / LOCKS / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"
        with exclusive(lock, f"replacing {name}"):
            found = self.read_version(name)
            if found is None or found[1] != version:
                raise PreconditionError(name)
            return self._put(name, data, "overwrite")

    def _require_bucket(self, error: BaseException) -> None:
        """Raise BucketError where it is not an object that is missing but the bucket."""
        if any(words in str(error) for words in _NO_BUCKET):
            raise BucketError(
                f"{self.address}: there is no such bucket; make it, or correct SQUEEZE_STORE (for a bucket of another "
                "server than Amazon's, AWS_ENDPOINT_URL says where that is)"
            ) from None


def _version(meta: Any) -> Version:
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name) is not None}


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
