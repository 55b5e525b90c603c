"""Garbage collection in a bucket, while any number of machines write to it.

Needed is what is current for some profile, what runs stand on, what is being built, and all that those came from; and
whatever is younger than the given age, since files precede their manifest and a manifest its pointer. All times are the
bucket's own.

Nothing is deleted at once that somebody may just have decided to use. A manifest that nobody needs is withdrawn first:
who misses it builds the artifact anew, or sends his own, and its files stay until it was withdrawn for as long again.
A file that is in the bucket without need, and is wanted once more, is sent anew when it is older than a day
(`blobs.put_blob`), so that it is young when its manifest comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pipeline.base.errors import StoreError
from pipeline.store.manifest import Manifest
from pipeline.store.remote.blobs import BLOBS, DAMAGED
from pipeline.store.remote.leases import LEASES, is_free, lease, lease_name
from pipeline.store.remote.names import MANIFESTS, RUNS, WITHDRAWN, artifact_of, withdrawn_name
from pipeline.store.remote.objects import Entry, Objects
from pipeline.store.remote.transfer import ASKED_AT_ONCE, pointed_at
from trainer.records import check, parse_json

LEAST_DAYS: Final = 2
"""The least age at which something goes: more than a day, at which a file is sent anew, by what sending may take."""


@dataclass
class Unneeded:
    """What may go from a bucket."""

    withdrawn: list[Manifest] = field(default_factory=list)
    """Artifacts that nobody needs: no artifacts from now on."""
    deleted: list[Entry] = field(default_factory=list)
    """Files that no artifact has, and what was withdrawn or is over for long enough."""

    @property
    def bytes(self) -> int:
        """What deleting frees now."""
        return sum(entry.bytes for entry in self.deleted)


@dataclass(frozen=True)
class _Run:
    profile: str
    artifacts: dict[str, str]


def sweep(objects: Objects, older_than: timedelta, *, dry: bool) -> Unneeded:
    """Withdraw what nobody needs, and delete what was withdrawn and is older than that; returns what that was.

    dry: only look. Raises StoreError where something that may need others cannot be read: nothing is removed then.
    """
    with lease(objects, "gc", "collecting garbage"):
        found = _unneeded(objects, older_than)
        if not dry:
            for manifest in found.withdrawn:
                pair = manifest.key, manifest.fingerprint
                objects.rename(f"{MANIFESTS}/{pair[0]}/{pair[1]}.json", withdrawn_name(*pair))
            with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
                list(pool.map(lambda entry: objects.delete(entry.name), found.deleted))
    return found


def _unneeded(objects: Objects, older_than: timedelta) -> Unneeded:
    leases = list(objects.entries(LEASES))
    now = next(entry.modified for entry in leases if entry.name == lease_name("gc"))
    oldest = now - older_than
    entries = list(objects.entries(MANIFESTS))
    young = [pair for entry in entries if entry.modified > oldest and (pair := artifact_of(entry.name))]
    manifests = {(item.key, item.fingerprint): item for item in _manifests(objects, entries)}
    withdrawn = list(objects.entries(WITHDRAWN))
    late = [entry for entry in withdrawn if entry.modified > oldest]
    current = ((key, fingerprint) for key, _, fingerprint in pointed_at(objects))
    roots = {*young, *current, *_stood_on(objects, oldest), *_built(leases, oldest)}
    needed = _with_ancestors(roots, manifests)
    kept_files = {record.sha256 for item in manifests.values() for record in item.files.values()}
    kept_files |= {record.sha256 for item in _manifests(objects, late) for record in item.files.values()}
    old = [entry for entry in objects.entries(BLOBS) if entry.modified <= oldest]
    found = Unneeded([item for pair, item in sorted(manifests.items()) if pair not in needed])
    found.deleted = [entry for entry in old if entry.name.rpartition("/")[2] not in kept_files]
    over = [*withdrawn, *objects.entries(RUNS), *objects.entries(DAMAGED)]
    over += [entry for entry in leases if entry.modified <= oldest and is_free(objects, entry.name)]
    found.deleted += [entry for entry in over if entry.modified <= oldest]
    return found


def _manifests(objects: Objects, entries: Sequence[Entry]) -> Iterable[Manifest]:
    """The manifests of a listing; those that went since are left out. Raises StoreError where one cannot be read."""

    def read(entry: Entry) -> Manifest | None:
        data = objects.read(entry.name)
        return None if data is None else Manifest.parse(data.decode(errors="replace"), objects.where(entry.name))

    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        return [manifest for manifest in pool.map(read, entries) if manifest is not None]


def _stood_on(objects: Objects, oldest: datetime) -> Iterable[tuple[str, str]]:
    """What runs stand on that wrote it down lately, or still renew their lease."""
    for entry in objects.entries(RUNS):
        run = entry.name.partition("/")[2].removesuffix(".json")
        held = lease_name(f".runs/{run}")
        if entry.modified > oldest or not is_free(objects, held):
            text = objects.read(entry.name)
            try:
                yield from check(_Run, parse_json(text)).artifacts.items() if text is not None else ()
            except ValueError as error:
                raise StoreError(
                    f"{objects.where(entry.name)}: not what a run stands on ({error}); nothing is removed: remove this "
                    "object, if that run is over"
                ) from None


def _built(leases: Sequence[Entry], oldest: datetime) -> Iterable[tuple[str, str]]:
    """What is being built, or was lately."""
    for entry in leases:
        if entry.modified > oldest and (pair := artifact_of(f"{entry.name}.json")) is not None:
            yield pair


def _with_ancestors(
    roots: Iterable[tuple[str, str]], manifests: dict[tuple[str, str], Manifest]
) -> set[tuple[str, str]]:
    needed: set[tuple[str, str]] = set()
    waiting = list(roots)
    while waiting:
        pair = waiting.pop()
        if pair not in needed:
            needed.add(pair)
            parents = manifests[pair].inputs.values() if pair in manifests else ()
            waiting += [(parent.key, parent.fingerprint) for parent in parents]
    return needed
