"""Garbage collection: finding what nobody needs any more, and removing it.

Needed is what is current for some profile, what a run or a build at work stands on, or a trainer that has outlived its
run, and all that those came from. Where a pointer or a manifest cannot be read, everything that it may mean is kept,
and said so.

Removing looks again, with the pointers held still: what became needed since it was listed stays, and what that was made
from is read from manifests alone. Artifacts are first
given another name, children before what they were made from, and removed after that: wherever a kill stops it, nothing
that is left is half an artifact, or one without its ancestors, and the next collection goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import DamagedError, StoreError
from pipeline.base.held import is_held, stands_on
from pipeline.store.backend import CURRENT, Backend, Fingerprint, Removable
from pipeline.store.catalogue import Entry, Unreadable
from pipeline.store.origin import disclaim
from pipeline.store.running import forget_ended, stood_on
from pipeline.store.store import LINEAGE, POINTERS, Store
from trainer.records import check, parse_json

EPOCHS: Final = "shards/epoch_"


def garbage(
    store: Store,
    *,
    epochs: bool = False,
    unfinished: bool = False,
    notes: list[str] | None = None,
    checked: bool = False,
) -> list[Removable]:
    """What no profile's current artifacts and no run at work need: older builds and damaged ones, largest first.

    With `unfinished` also half-built folders, from which a build that was stopped would go on (a model's checkpoints
    among them). With `epochs` also every epoch's shards, current or not: they follow to the byte from the tokens and
    the schedule. `notes` takes a line for each thing that cannot be read, with what is kept for it. Where `checked`,
    what the needed ones were made from is read from their manifests, whatever was remembered of them.
    """
    notes = [] if notes is None else notes
    artifacts: dict[str, Entry] = {}
    for entry in store.catalogue():
        if isinstance(entry, Unreadable):
            notes.append(f"{entry.error} (kept until then)")
        else:
            artifacts[entry.fingerprint] = entry
    held = [item for item in store.backend.abandoned(unfinished=True) if is_held(item.path)]
    try:
        at_work = set(stood_on(store.backend)).union(*(stands_on(item.path).items() for item in held))
    except DamagedError as error:
        notes.append(f"{error}; nobody can say what it stands on, so everything is kept")
        return []
    needed = _needed(store, artifacts, at_work, notes, checked=checked)
    if needed is None:
        return []
    removable = [item for item in store.backend.abandoned(unfinished=unfinished) if not is_held(item.path)]
    in_use = {fingerprint for _, fingerprint in at_work}
    for item in artifacts.values():
        is_epoch = epochs and item.key.startswith(EPOCHS) and item.fingerprint not in in_use
        if item.fingerprint not in needed or is_epoch:
            why = "shards, rebuilt when needed" if is_epoch else "no profile's current artifacts need it"
            folder = store.backend.folder(item.key, item.fingerprint)
            removable.append(Removable(item.key, item.fingerprint, folder, item.bytes, why))
    return sorted(removable, key=lambda item: -item.bytes)


def collect(
    store: Store, items: Sequence[Removable], *, epochs: bool = False, unfinished: bool = False
) -> list[Removable]:
    """Remove those of `items` that are garbage still; returns the others."""
    backend = store.backend
    taken: list[Path] = []
    kept = []
    with backend.lock(POINTERS, "collecting garbage"):
        _tidy(backend)
        still = {item.path for item in garbage(store, epochs=epochs, unfinished=unfinished, checked=True)}
        for item in _children_first(store, items):
            place = backend.take_out(item) if item.path in still and not is_held(item.path) else None
            if place is None:
                kept.append(item)
            else:
                taken.append(place)
    for place in taken:
        backend.discard(place)
    return kept


def tidy(store: Store) -> None:
    """Take away what killed writers of pointers left, and the records of runs that are over."""
    with store.backend.lock(POINTERS, "tidying up"):
        _tidy(store.backend)


def _tidy(backend: Backend) -> None:
    for key in {key for key, _ in backend.pointers()}:
        backend.tidy(key)
    forget_ended(backend)


def forget(store: Store, profile: str) -> int:
    """Remove a profile's pointers, so that `garbage` no longer counts what only it needs; returns how many.

    The name is taken as it stands: `*` is the profile of that name.
    """
    with store.backend.lock(POINTERS, "forgetting a profile"):
        keys = [key for key, pointing in store.backend.pointers() if pointing == profile]
        for key in keys:
            store.backend.delete(f"{key}/{CURRENT}{profile}")
        disclaim(store.backend, profile)
    return len(keys)


def _needed(
    store: Store, artifacts: dict[str, Entry], at_work: Iterable[tuple[str, str]], notes: list[str], *, checked: bool
) -> set[str] | None:
    """Fingerprints of what is needed; None where everything is, as nobody can say what is not."""
    waiting: list[tuple[str, str]] = list(at_work)
    for key, profile in store.backend.pointers():
        fingerprint = store.pointed_at(key, profile)
        if fingerprint is not None:
            waiting.append((key, fingerprint))
            continue
        of_key = [(item.key, item.fingerprint) for item in artifacts.values() if item.key == key]
        waiting += of_key
        notes.append(
            f"{store.root / key / (CURRENT + profile)}: this pointer is damaged; all {len(of_key)} artifacts of {key} "
            "are kept until a run of the profile writes it anew"
        )
    needed: set[str] = set()
    while waiting:
        key, fingerprint = waiting.pop()
        if fingerprint in needed:
            continue
        needed.add(fingerprint)
        known = None if checked else artifacts.get(fingerprint)
        try:
            waiting += known.inputs if known else _inputs(store, key, fingerprint)
        except StoreError:
            folder = store.backend.folder(key, fingerprint)
            ancestors = _in_lineage(folder)
            if ancestors is None:
                notes.append(f"{folder}: nobody can say what this artifact was made from, so everything is kept")
                return None
            needed |= ancestors
    return needed


def _inputs(store: Store, key: str, fingerprint: str) -> list[tuple[str, str]]:
    """What an artifact was made from; one that was removed needs nothing. Raises StoreError where it cannot be read."""
    artifact = store.get(key, fingerprint)
    return [(item.key, item.fingerprint) for item in artifact.manifest.inputs.values()] if artifact else []


def _in_lineage(folder: Path) -> set[str] | None:
    """All that an artifact came from, as the file beside its damaged manifest says; None where there is none."""
    try:
        return set(check(dict[Fingerprint, Any], parse_json((folder / LINEAGE).read_bytes())["artifacts"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _children_first(store: Store, items: Sequence[Removable]) -> list[Removable]:
    """What was made from others before those others; leftovers, which nothing is made from, before all."""
    by_fingerprint: dict[str, list[Removable]] = {}
    for item in items:
        by_fingerprint.setdefault(item.fingerprint, []).append(item)
    children: dict[str, set[str]] = {fingerprint: set() for fingerprint in by_fingerprint}
    for item in items:
        with suppress(StoreError):
            for _, parent in _inputs(store, item.key, item.fingerprint):
                if parent in children:
                    children[parent].add(item.fingerprint)
    try:
        order = list(TopologicalSorter(children).static_order())
    except CycleError:  # of manifests written by hand
        order = list(children)
    return [item for fingerprint in order for item in by_fingerprint[fingerprint]]
