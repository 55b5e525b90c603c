"""Where artifacts are, against a local folder with each of them.

The store names artifacts by key and fingerprint, and keeps small texts beside them (records): a manifest for each, a
pointer a profile, the store's own marker. A backend holds both. Assets' functions know nothing of it: they build in a
local folder, and read local folders.

What always holds, whatever the backend: an artifact is there with its manifest or not at all; a record is read whole
or not at all; and a lease ends when its holder does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Protocol

from pydantic import StringConstraints

from pipeline.store.manifest import Manifest

MANIFEST: Final = "manifest.json"
CURRENT: Final = "CURRENT."
"""Begins the name of a pointer; the profile's name follows."""
FINGERPRINT: Final = re.compile(r"[0-9a-f]{32}")
Fingerprint = Annotated[str, StringConstraints(pattern=f"^{FINGERPRINT.pattern}$")]
"""A fingerprint in a file that somebody else may have written."""
Stamp = tuple[int, ...]
"""What differs once a file or a folder was written to, such as size, times and inode; empty where that is not sure."""


@dataclass(frozen=True)
class Removable:
    """An artifact, or what a build left, that somebody may want to remove."""

    key: str
    fingerprint: str
    path: Path
    """Its folder, for people."""
    bytes: int
    why: str


def fingerprint_in(text: str | None) -> str | None:
    """What a pointer says; None where there is none, or where it is damaged."""
    plain = (text or "").strip()
    return plain if FINGERPRINT.fullmatch(plain) else None


class Backend(Protocol):
    """Holds artifacts and records: `LocalBackend` in a folder, `SharedBackend` in a folder and in a bucket."""

    def read(self, record: str) -> str | None:
        """A record's text, or None where there is none. Raises DamagedError where it is there and cannot be read."""
        ...

    def write(self, record: str, text: str) -> None:
        """Put a record in the place of whatever is there."""
        ...

    def replace(self, record: str, text: str, seen: str | None) -> bool:
        """Move a pointer if it says what was seen, a fingerprint or nothing, on all machines; whether it did."""
        ...

    def delete(self, record: str) -> None:
        """Take a record away, if it is there."""
        ...

    def manifests(self, key: str | None = None) -> Iterator[tuple[str, str]]:
        """(key, fingerprint) of every artifact, or of those of one key, in their order."""
        ...

    def stamps(self) -> Iterator[tuple[str, str, Stamp]]:
        """As `manifests`, of every key, with each manifest's stamp: one that was read need not be read again."""
        ...

    def listing(self, key: str, fingerprint: str) -> tuple[tuple[tuple[str, Stamp], ...], set[str]]:
        """An artifact's folder and those within, with stamps, none where one has none that is sure; names of files."""
        ...

    def holds(
        self, key: str, fingerprint: str, folders: Iterable[tuple[str, Stamp]], files: Iterable[tuple[str, int]]
    ) -> bool:
        """Whether those folders have the stamps they had, so that no name came or went, and the files these bytes."""
        ...

    def pointers(self) -> Iterator[tuple[str, str]]:
        """(key, profile) of every pointer, in their order."""
        ...

    def lock(self, name: str, purpose: str) -> AbstractContextManager[None]:
        """Be the only one at work on what `name` stands for, waiting for whoever is."""
        ...

    def is_locked(self, name: str) -> bool:
        """Whether somebody who is alive holds that lock."""
        ...

    def unlock_for_ever(self, name: str) -> None:
        """Take away the lock of something that nobody will ask for again."""
        ...

    def records(self, folder: str) -> list[str]:
        """Names of the records of a folder, in their order."""
        ...

    def tidy(self, key: str) -> None:
        """Take away what killed writers of a key's pointers left; for the holder of the pointers' lock."""
        ...

    def folder(self, key: str, fingerprint: str) -> Path:
        """A local folder with the finished artifact's files, which are fetched where they are not here yet."""
        ...

    def place(self, key: str, fingerprint: str) -> Path:
        """Where that folder is, or would be, for people; nothing is fetched."""
        ...

    def glimpse(self, key: str, fingerprint: str) -> Path:
        """A local folder with those of its files that are small, at least: what its page shows."""
        ...

    def restore(self, manifest: Manifest) -> bool:
        """Mend a damaged artifact from where else it is kept; False where that is nowhere."""
        ...

    def share(self, key: str, fingerprint: str) -> None:
        """Have an artifact that is here also where others look for it. Raises NotReproducedError where another of its
        fingerprint is there, with another content."""
        ...

    def damage(self, manifest: Manifest) -> str | None:
        """What a look at names and sizes finds wrong with an artifact, or None. Contents are hashed by `verify`."""
        ...

    def lease(self, key: str, fingerprint: str, purpose: str) -> AbstractContextManager[None]:
        """Be the only one who builds that artifact, waiting for whoever does; `purpose` is said to those who wait."""
        ...

    def workspace(self, key: str, fingerprint: str) -> Path:
        """The local folder to build in, with what an earlier attempt finished. For the holder of the lease."""
        ...

    def commit(self, manifest: Manifest) -> Manifest:
        """Make the workspace, whose files the manifest lists, the artifact; a damaged one in its place goes aside.

        Returns the artifact's manifest: another machine's where that was first with the same content. Raises
        NotReproducedError where it was first with another content, which stays.
        """
        ...

    def set_aside(self, key: str, fingerprint: str) -> Path | None:
        """Give a damaged artifact a name by which it is none; its new folder, or None while a build holds its lease."""
        ...

    def abandoned(self, *, unfinished: bool) -> Iterator[Removable]:
        """Damaged artifacts that were built anew; with `unfinished` also the workspaces of stopped builds."""
        ...

    def take_out(self, item: Removable) -> Path | None:
        """Give it a name by which it is no artifact, at once; its new place, or None while a build holds its lease."""
        ...

    def discard(self, place: Path) -> None:
        """Remove what was taken out. Of a link, what it leads to stays."""
        ...
