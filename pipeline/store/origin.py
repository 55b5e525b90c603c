"""Which file the profile is of whose pointers the store holds: two files of one name are two profiles.

Pointers carry a profile's name. So the store keeps, for each name, the file of the profile that first made something
current, and tells a profile of another file that has the same name, before it reads or moves the pointers of the first.
A file that is no longer there was moved or renamed: its name is free for the next.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pipeline.base.canonical import canonical_json
from pipeline.base.errors import StoreError
from pipeline.store.backend import Backend
from trainer.records import check, parse_json

PROFILES: Final = ".profiles"
"""Folder of the records, one a name."""
BUILT_IN: Final = "built in"
"""The origin of the profiles that come with Squeeze, wherever it is installed."""


@dataclass(frozen=True)
class Origin:
    """Where the profile of a name was read from: its file, resolved, or `BUILT_IN`."""

    file: str


def require_own(backend: Backend, profile: str, origin: str) -> None:
    """Raise StoreError, with what to do, where the store's results of this name are another profile's."""
    other = _recorded(backend, profile)
    if other in (None, origin) or not _is_there(other, origin):
        return
    whose = "the built-in profile" if other == BUILT_IN else other
    mine = "the built-in profile" if origin == BUILT_IN else origin
    raise StoreError(
        f"the store already has results for the name {profile!r}, of {whose}, which is not {mine}: to keep both, write "
        f"`name: another_name` into your profile, or have a store for each (SQUEEZE_HOME); to give the other's results "
        f"up, `squeeze gc --forget {profile}`"
    )


def claim(backend: Backend, profile: str, origin: str) -> None:
    """Record whose the pointers of this name are; for the holder of the pointers' lock. Raises as `require_own`."""
    require_own(backend, profile, origin)
    if _recorded(backend, profile) != origin:
        backend.write(_record(profile), canonical_json(asdict(Origin(origin))) + "\n")


def disclaim(backend: Backend, profile: str) -> None:
    """Let the next profile of this name have it; for the holder of the pointers' lock."""
    backend.delete(_record(profile))


def _record(profile: str) -> str:
    return f"{PROFILES}/{profile}.json"


def _recorded(backend: Backend, profile: str) -> str | None:
    """None where there is no record, or none that can be read: it is written anew."""
    with suppress(StoreError, ValueError):
        text = backend.read(_record(profile))
        return check(Origin, parse_json(text)).file if text is not None else None
    return None


def _is_there(other: str, origin: str) -> bool:
    """Whether there still is that other profile, and it is not this one by another path."""
    if BUILT_IN in (other, origin):
        return other == BUILT_IN or Path(other).is_file()
    try:
        return not Path(other).samefile(origin)
    except (OSError, ValueError):  # a damaged name may be none
        return False
