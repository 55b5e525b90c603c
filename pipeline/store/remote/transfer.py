"""A whole local store into a bucket, and what a profile uses out of one.

Sending goes on where it was stopped: an artifact whose manifest is in the bucket is there with all its files, and a
file that arrived is not sent again. Whatever is wrong with one artifact is said, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from pipeline.base.errors import BucketError, StoreError
from pipeline.base.numbers import size
from pipeline.store.backend import CURRENT, MANIFEST, fingerprint_in
from pipeline.store.local import LocalBackend
from pipeline.store.manifest import Manifest
from pipeline.store.remote.names import MANIFESTS, POINTERS, artifact_of, pointer_name, pointer_of
from pipeline.store.remote.objects import Objects
from pipeline.store.remote.publishing import publish, read_manifest, require_equal
from pipeline.store.remote.shared import SharedBackend

Say = Callable[[str], None]
ASKED_AT_ONCE: Final = 8
"""Small objects that are asked for at one time."""


@dataclass
class Pushed:
    """What came of sending a local store to a bucket."""

    sent: int = 0
    bytes: int = 0
    """Of the artifacts that were sent; files that the bucket had by another artifact were not."""
    there: int = 0
    """Artifacts that the bucket had already."""
    pointers: int = 0
    """Of profiles that were moved."""
    left: list[str] = field(default_factory=list)
    """Pointers that stayed, as what is current in the bucket was built later."""
    faults: list[str] = field(default_factory=list)


def push(local: LocalBackend, objects: Objects, keys: Sequence[str] = (), say: Say = print) -> Pushed:
    """Have in the bucket what a local store has, and current there what is current here and not older.

    keys: patterns of the artifacts that are meant, such as `shards/*`; all of them where there are none. Raises
    BucketError where the bucket cannot be used.
    """
    done = Pushed()
    present = {artifact_of(entry.name) for entry in objects.entries(MANIFESTS)}
    manifests = {}
    for key, fingerprint in local.manifests():
        if _meant(key, keys):
            try:
                manifests[key, fingerprint] = _manifest(local, key, fingerprint)
            except StoreError as error:
                done.faults.append(str(error))
    both = [pair for pair in manifests if pair in present]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        done.faults += filter(None, pool.map(lambda pair: _difference(objects, manifests[pair]), both))
    done.there = len(both)
    for pair in sorted(manifests.keys() - present, key=lambda pair: manifests[pair].built.at):  # parents first
        manifest = manifests[pair]
        say(f"{manifest.key} {manifest.fingerprint[:8]} {size(manifest.size)}")
        try:
            publish(objects, manifest, local.place(*pair))
        except BucketError:
            raise
        except StoreError as error:
            done.faults.append(str(error))
            continue
        present.add(pair)
        done.sent += 1
        done.bytes += manifest.size
    for key, profile in local.pointers():
        current = fingerprint_in(local.read(f"{key}/{CURRENT}{profile}"))
        if current is not None and (key, current) in manifests and (key, current) in present:
            _push_pointer(objects, manifests[key, current], profile, done)
    return done


def pull(backend: SharedBackend, profile: str, keys: Sequence[str] = (), say: Say = print) -> list[Manifest]:
    """Have on this machine, with all files, what is current in the bucket for a profile; returns what that is.

    keys: as for `push`. Raises StoreError, naming what cannot be had.
    """
    pulled = []
    for key, _, fingerprint in pointed_at(backend.objects, profile):
        manifest = read_manifest(backend.objects, key, fingerprint) if _meant(key, keys) else None
        if manifest is not None:
            say(f"{key} {fingerprint[:8]} {size(manifest.size)}")
            backend.folder(key, fingerprint)
            LocalBackend.write(backend, f"{key}/{CURRENT}{profile}", fingerprint + "\n")
            pulled.append(manifest)
    return pulled


def pointed_at(objects: Objects, profile: str | None = None) -> Iterator[tuple[str, str, str]]:
    """Key, profile and fingerprint of everything that is current in a bucket, for one profile or for any."""
    names = [entry.name for entry in objects.entries(POINTERS)]
    mine = [(*item, name) for name in names if (item := pointer_of(name)) and profile in (None, item[1])]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        texts = pool.map(lambda item: objects.read(item[2]), mine)
        for (key, owner, _), text in zip(mine, texts, strict=True):
            if (fingerprint := fingerprint_in(text.decode(errors="replace") if text else None)) is not None:
                yield key, owner, fingerprint


def listed(objects: Objects, profile: str | None) -> list[tuple[Manifest, list[str]]]:
    """The artifacts of a bucket that are current for a profile, or all of them, each with the profiles that it is
    current for. Raises StoreError where one's manifest cannot be read."""
    used: dict[tuple[str, str], list[str]] = {}
    for key, owner, fingerprint in pointed_at(objects):
        used.setdefault((key, fingerprint), []).append(owner)
    pairs = [pair for pair, owners in used.items() if profile in owners]
    if profile is None:
        pairs = [pair for entry in objects.entries(MANIFESTS) if (pair := artifact_of(entry.name))]
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        found = pool.map(lambda pair: read_manifest(objects, *pair), pairs)
        return [(item, used.get(pair, [])) for pair, item in zip(pairs, found, strict=True) if item is not None]


def forget(objects: Objects, profile: str) -> int:
    """Remove a profile's pointers from a bucket; returns how many there were. Raises StoreError where there is none."""
    names = [entry.name for entry in objects.entries(POINTERS)]
    owned = {name: item[1] for name in names if (item := pointer_of(name)) is not None}
    mine = [name for name, owner in owned.items() if owner == profile]
    if not mine:
        there = ", ".join(sorted({*owned.values()})) or "none"
        raise StoreError(f"--forget {profile}: {objects.address} has no such profile; there are: {there}")
    for name in mine:
        objects.delete(name)
    return len(mine)


def _meant(key: str, keys: Sequence[str]) -> bool:
    return not keys or any(fnmatchcase(key, pattern) for pattern in keys)


def _manifest(local: LocalBackend, key: str, fingerprint: str) -> Manifest:
    record = f"{key}/{fingerprint}/{MANIFEST}"
    return Manifest.parse(local.read(record) or "", str(local.root / record))


def _difference(objects: Objects, manifest: Manifest) -> str | None:
    """What differs between an artifact here and in the bucket, if anything that matters does."""
    found = read_manifest(objects, manifest.key, manifest.fingerprint)
    try:
        if found is not None:
            require_equal(found, manifest)
    except StoreError as error:
        return str(error)
    return None


def _push_pointer(objects: Objects, manifest: Manifest, profile: str, done: Pushed) -> None:
    name = pointer_name(manifest.key, profile)
    found = objects.read_version(name)
    there = fingerprint_in(found[0].decode(errors="replace")) if found else None
    if there == manifest.fingerprint:
        return
    other = read_manifest(objects, manifest.key, there) if there else None
    newer = other is not None and _time(other) > _time(manifest)
    data = f"{manifest.fingerprint}\n".encode()
    if newer or objects.replace(name, data, found[1] if found else None) is None:
        done.left.append(f"{manifest.key} of {profile}")
    else:
        done.pointers += 1


def _time(manifest: Manifest) -> datetime:
    return datetime.fromisoformat(manifest.built.at)
