"""The store in a local folder with a bucket behind it: what any machine built, every machine has.

The bucket is asked before something is built and filled after it was committed here. What it says is current, is. Files
come when somebody asks for an artifact's folder, and not before; what lies in the local folder is whole, as without a
bucket, and its size may be limited.

A network that fails in the middle of a run ends nothing: the run goes on with what is here, and what it makes stays
here, until `squeeze push`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ByteSize, TypeAdapter, ValidationError

from pipeline.base.errors import BucketError, NotReproducedError, StoreError
from pipeline.store.backend import CURRENT, MANIFEST, Backend, fingerprint_in
from pipeline.store.local import LocalBackend, put_aside
from pipeline.store.manifest import Manifest
from pipeline.store.marker import STORE_FILE
from pipeline.store.remote.address import STORE_VARIABLE, open_objects, store_address
from pipeline.store.remote.fetching import fetch, glimpse
from pipeline.store.remote.leases import LEASE_SECONDS, lease
from pipeline.store.remote.names import FINDINGS, RUNS, manifest_name, pointer_name
from pipeline.store.remote.objects import Objects, Version
from pipeline.store.remote.publishing import publish
from pipeline.store.remote.room import Uses, make_room
from pipeline.store.running import RUNS as LOCAL_RUNS
from pipeline.store.soundness import remember_sound

log = logging.getLogger(__name__)
T = TypeVar("T")

LIMIT_VARIABLE: Final = "SQUEEZE_HOME_LIMIT"
LOCAL_FINDINGS: Final = ".cache/findings"
AWAY_SECONDS: Final = 900.0
"""For so long a bucket that could not be reached is not asked again."""


def backend_of(root: Path) -> Backend:
    """What holds the artifacts of a root: the folder, with the bucket behind it that SQUEEZE_STORE names."""
    return shared_backend(root) or LocalBackend(root)


def shared_backend(root: Path) -> SharedBackend | None:
    """The folder with its bucket, one a process for each; None where SQUEEZE_STORE names none."""
    address = store_address()
    return None if address is None else _shared(root, address, home_limit())


@cache
def _shared(root: Path, address: str, limit: int | None) -> SharedBackend:
    return SharedBackend(root, open_objects(address), limit=limit)


def home_limit() -> int | None:
    """The bytes that the local folder may hold, by SQUEEZE_HOME_LIMIT; None for as many as there are."""
    words = os.environ.get(LIMIT_VARIABLE, "").strip()
    try:
        return int(TypeAdapter(ByteSize).validate_python(words)) if words else None
    except ValidationError:
        raise StoreError(f"{LIMIT_VARIABLE}={words}: is no number of bytes; such as 200GB") from None


class SharedBackend(LocalBackend):
    """Artifacts and records below `root`, and in a bucket."""

    def __init__(
        self, root: Path, objects: Objects, *, limit: int | None = None, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        """limit: bytes of artifacts below `root` beyond which those that the bucket has make room."""
        super().__init__(root)
        self.objects = objects
        self._limit = limit
        self._lease_seconds = lease_seconds
        self._uses = Uses(self)
        self._opened = False
        self._away_until = -float("inf")
        self._manifests: dict[str, str] = {}
        """Texts of manifests of the bucket by record; they do not change."""
        self._shared: set[str] = set()
        """Objects of manifests that are known to be in the bucket."""
        self._versions: dict[str, Version | None] = {}
        """Of pointers, when they were last read."""

    # -- records ------------------------------------------------------------------------------------------------

    def read(self, record: str) -> str | None:
        if record == STORE_FILE:
            return self._open()
        folder, _, name = record.rpartition("/")
        if name.startswith(CURRENT):
            return self._read_pointer(record)
        here = super().read(record)
        if here is not None:
            return here
        if name == MANIFEST:
            return self._read_manifest(record)
        if folder == LOCAL_FINDINGS:
            found = self._asked(lambda: self.objects.read(f"{FINDINGS}/{name}"), None)
            if found is not None:
                super().write(record, found.decode())
        return super().read(record)

    def write(self, record: str, text: str) -> None:
        super().write(record, text)
        folder, _, name = record.rpartition("/")
        if record == STORE_FILE:
            self.objects.create(STORE_FILE, text.encode())
            self._require_conditions(text)
            self._opened = True
        elif folder in (LOCAL_RUNS, LOCAL_FINDINGS):
            there = f"{RUNS if folder == LOCAL_RUNS else FINDINGS}/{name}"
            self._asked(lambda: self.objects.write(there, text.encode()), None)

    def delete(self, record: str) -> None:
        super().delete(record)
        folder, _, name = record.rpartition("/")
        if folder == LOCAL_RUNS:
            self._asked(lambda: self.objects.delete(f"{RUNS}/{name}"), None)

    def replace(self, record: str, text: str, seen: str | None) -> bool:
        if fingerprint_in(self._read_pointer(record)) != seen:
            return False
        key, _, name = record.rpartition("/")
        there = pointer_name(key, name.removeprefix(CURRENT))
        version = self._versions.get(record)
        if self._asked(lambda: self.objects.replace(there, text.encode(), version) is None, False):
            return False
        super().write(record, text)
        return True

    def _open(self) -> str | None:
        """The marker of the bucket, looked at once; of the local folder from then on. Raises BucketError."""
        if self._opened:
            return super().read(STORE_FILE)
        try:
            found = self.objects.read(STORE_FILE)
        except BucketError as error:
            raise type(error)(f"{error}; without {STORE_VARIABLE}, what is in {self.root} is used alone") from None
        if found is None:
            return None
        text = found.decode(errors="replace")
        if super().read(STORE_FILE) is None:
            super().write(STORE_FILE, text)
        self._opened = True
        return text

    def _require_conditions(self, marker: str) -> None:
        """Raise BucketError where the bucket writes over what is there though it was told not to: an old server, or one
        that only looks like S3, by which two machines would overwrite each other's manifests unseen."""
        if self.objects.create(STORE_FILE, b"may this be written over?"):
            self.objects.write(STORE_FILE, marker.encode())
            raise BucketError(
                f"{self.objects.address}: this server does not keep to conditional writes (If-None-Match), without "
                "which machines cannot share a store; take a newer version of it, or another"
            )

    def _read_pointer(self, record: str) -> str | None:
        key, _, name = record.rpartition("/")
        there = pointer_name(key, name.removeprefix(CURRENT))
        found = self._asked(lambda: self.objects.read_version(there), None)
        self._versions[record] = found[1] if found else None
        return found[0].decode(errors="replace") if found else super().read(record)

    def _read_manifest(self, record: str) -> str | None:
        if record not in self._manifests:
            key, fingerprint, _ = record.rsplit("/", 2)
            there = manifest_name(key, fingerprint)
            found = self._asked(lambda: self.objects.read(there), None)
            if found is None:
                return None
            self._manifests[record] = found.decode(errors="replace")
            self._shared.add(there)
        return self._manifests[record]

    # -- artifacts ----------------------------------------------------------------------------------------------

    def folder(self, key: str, fingerprint: str) -> Path:
        self._uses.add(key, fingerprint)
        if not (self.place(key, fingerprint) / MANIFEST).exists():
            manifest = self._manifest(key, fingerprint)
            if manifest is not None:
                try:
                    fetch(self.objects, manifest, self)
                except StoreError:
                    self._forget(key, fingerprint)
                    raise
                self._make_room()
        return self.place(key, fingerprint)

    def glimpse(self, key: str, fingerprint: str) -> Path:
        place = self.place(key, fingerprint)
        manifest = None if (place / MANIFEST).exists() else self._manifest(key, fingerprint)
        if manifest is None:
            return place
        there = self.root / ".cache" / "glimpses" / key / fingerprint
        return self._asked(lambda: glimpse(self.objects, manifest, there), there)

    def damage(self, manifest: Manifest) -> str | None:
        is_here = (self.place(manifest.key, manifest.fingerprint) / MANIFEST).exists()
        return super().damage(manifest) if is_here else None

    def restore(self, manifest: Manifest) -> bool:
        there = self._asked(lambda: self._in_bucket(manifest.key, manifest.fingerprint), None)
        if there is None:
            return False
        log.warning("%s is damaged here and is fetched again", self.place(manifest.key, manifest.fingerprint))
        fetch(self.objects, there, self, anew=True)
        return True

    def share(self, key: str, fingerprint: str) -> None:
        there = manifest_name(key, fingerprint)
        text = super().read(f"{key}/{fingerprint}/{MANIFEST}")
        if there in self._shared or text is None:
            return
        manifest = Manifest.parse(text, str(self.place(key, fingerprint) / MANIFEST))
        try:
            self._publish(manifest)
        except NotReproducedError as error:
            place = self.set_aside(key, fingerprint)
            raise NotReproducedError(f"{error} {_set_aside(place)}") from None
        self._asked(lambda: self._share_pointers(key, fingerprint), None)

    def commit(self, manifest: Manifest) -> Manifest:
        super().commit(manifest)
        for name, record in manifest.files.items():  # they were hashed a moment ago
            remember_sound(self.place(manifest.key, manifest.fingerprint) / name, record)
        self._uses.add(manifest.key, manifest.fingerprint)
        try:
            theirs = self._publish(manifest)
        except NotReproducedError as error:
            place = put_aside(self.place(manifest.key, manifest.fingerprint), manifest.fingerprint)
            raise NotReproducedError(f"{error} {_set_aside(place)}") from None
        if theirs is not None and theirs.to_json() != manifest.to_json():
            log.warning(
                "%s %s: another machine was first with the same content, and this one takes it for its own",
                *(manifest.key, manifest.fingerprint[:8]),
            )
            self._asked(lambda: fetch(self.objects, theirs, self, anew=True), None)
        self._make_room()
        return Manifest.parse(super().read(f"{manifest.key}/{manifest.fingerprint}/{MANIFEST}") or "", manifest.key)

    # -- being the only one -------------------------------------------------------------------------------------

    @contextmanager
    def lease(self, key: str, fingerprint: str, purpose: str) -> Iterator[None]:
        with super().lease(key, fingerprint, purpose), self._leased(f"{key}/{fingerprint}", purpose):
            yield

    @contextmanager
    def lock(self, name: str, purpose: str) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(super().lock(name, purpose))
            if name.startswith(f"{LOCAL_RUNS}/"):
                stack.enter_context(self._leased(name, purpose))
            yield

    @contextmanager
    def _leased(self, name: str, purpose: str) -> Iterator[None]:
        """Hold a lease of the bucket, where that can be reached."""
        with ExitStack() as stack:
            held = lease(self.objects, name, purpose, seconds=self._lease_seconds)
            self._asked(lambda: stack.enter_context(held), None)
            yield

    # -- the bucket ---------------------------------------------------------------------------------------------

    def _manifest(self, key: str, fingerprint: str) -> Manifest | None:
        """The bucket's manifest of an artifact, as far as is known."""
        text = self._read_manifest(f"{key}/{fingerprint}/{MANIFEST}")
        return Manifest.parse(text, self.objects.where(manifest_name(key, fingerprint))) if text is not None else None

    def _in_bucket(self, key: str, fingerprint: str) -> Manifest | None:
        """As `_manifest`, asked for now."""
        self._forget(key, fingerprint)
        return self._manifest(key, fingerprint)

    def _forget(self, key: str, fingerprint: str) -> None:
        self._manifests.pop(f"{key}/{fingerprint}/{MANIFEST}", None)
        self._shared.discard(manifest_name(key, fingerprint))

    def _publish(self, manifest: Manifest) -> Manifest | None:
        """Have an artifact that is here in the bucket; returns what is there, None where that cannot be reached."""
        place = self.place(manifest.key, manifest.fingerprint)
        theirs = self._asked(lambda: publish(self.objects, manifest, place), None)
        if theirs is not None:
            self._shared.add(manifest_name(manifest.key, manifest.fingerprint))
        return theirs

    def _share_pointers(self, key: str, fingerprint: str) -> None:
        """Have what is current here be current in the bucket, for profiles that have nothing current there yet."""
        for profile in self.profiles_at(key, fingerprint):
            self.objects.create(pointer_name(key, profile), fingerprint.encode() + b"\n")

    def _make_room(self) -> None:
        if self._limit is not None:
            make_room(self, self._limit, lambda *pair: self._asked(lambda: self._in_bucket(*pair), None) is not None)

    def _asked(self, ask: Callable[[], T], otherwise: T) -> T:
        """What the bucket answers; `otherwise`, and a sentence, while it cannot be asked."""
        if time.monotonic() < self._away_until:
            return otherwise
        try:
            return ask()
        except BucketError as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning(
                "%s. This goes on with what is in %s alone; what it makes stays there, until `squeeze push` sends it",
                *(error, self.root),
            )
            return otherwise


def _set_aside(place: Path | None) -> str:
    here = f"this machine's now lies in {place}" if place else "this machine's stays, as it is in use"
    return f"The bucket's stays, and {here}; run the same command again to go on with the bucket's."
