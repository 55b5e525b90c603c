"""What a run stands on: every artifact it took or made, by key, from its beginning to its end.

In: a run's id. Out: its `Footing`. Two runs of one profile may be at work at once with other settings each; what is
current may then change in the middle of both. So a run asks the store once for each key, and from there on builds on
what it was told then, or on what it made itself.

While it lives its footing is also written down, under a lock that ends with its process, so that collection keeps what
a run stands on, current or not. After a failure the record stays: a run that goes on from that one stands on the same.

A run may have processes of its own for its assets. The one that began it holds the lock; the others find it held, and
join: they take in what is written down, and add what they make.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Final

from pipeline.base.errors import DamagedError
from pipeline.store.artifact import Artifact
from pipeline.store.backend import Backend, Fingerprint
from pipeline.store.manifest import Input
from pipeline.store.recipe import Recipe
from trainer.records import check, parse_json

log = logging.getLogger(__name__)

RUNS: Final = ".runs"
"""Folder of the records of runs that are at work, or have failed."""
_KEPT: Final = 8
"""Runs of this process whose footing is remembered."""

_footings: Final[OrderedDict[tuple[str, str, str], Footing]] = OrderedDict()


@dataclass(frozen=True)
class _Record:
    """What stands in the file of a run."""

    profile: str
    artifacts: Mapping[str, Fingerprint]
    """All that the run stands on."""
    seen: Mapping[str, Fingerprint | None] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    """Keys of those artifacts that it made or took since it began."""
    behind: str = ""


class Footing:
    """The artifacts that one run stands on."""

    def __init__(self, backend: Backend, profile: str, run_id: str, parent: str | None = None) -> None:
        """parent: the run that this one goes on from."""
        self._backend = backend
        self._name = f"{RUNS}/{run_id}"
        self._lock = ExitStack()
        self._written = ""
        self.profile = profile
        self.seen: dict[str, str | None] = {}
        """What was current when the run looked first, by key."""
        self.own: dict[str, str] = _of_parent(backend, parent, profile) if parent else {}
        """What it made or took since."""
        self.behind = ""
        """The key by which another run made something else current while this one was at work; empty while none did."""
        self.joined = backend.is_locked(self._name) and backend.read(f"{self._name}.json") is not None
        """Whether another process began the run, and ends it."""
        if self.joined:
            self.alive = True
            self.catch_up()
            return
        try:
            self._lock.enter_context(backend.lock(self._name, "at work"))
            self.alive = True
        except OSError:  # a disk that cannot be written, where nothing is collected either
            self.alive = False

    def of(self, key: str, current: str | None) -> str | None:
        """The artifact of a key for this run; `current`: what it is for everybody else now."""
        return self.own.get(key) or self.seen.setdefault(key, current)

    def catch_up(self) -> None:
        """Take in what other processes of the run have written down since. Raises DamagedError."""
        if self.alive:
            record = _read(self._backend, self._name.removeprefix(f"{RUNS}/"))
            self.seen |= record.seen
            self.own |= {key: record.artifacts[key] for key in record.own if key in record.artifacts}
            self.behind = self.behind or record.behind

    def took(self, artifacts: Mapping[str, str]) -> None:
        """Stand on these from now on, and let collection know it. For the holder of the pointers' lock, who has caught
        up."""
        self.own |= artifacts
        self.write()

    def write(self) -> None:
        """Write the footing down, where that is possible and it is another than the last one."""
        there = {key: item for key, item in self.seen.items() if item} | self.own
        text = json.dumps(asdict(_Record(self.profile, there, self.seen, tuple(self.own), self.behind)))
        if self.alive and text != self._written:
            self._backend.write(f"{self._name}.json", text)
            self._written = text

    def end(self, *, keep: bool = False) -> None:
        """The run is over. keep: it has failed, and another may go on from it."""
        if not self.alive:
            return
        self.alive = False
        if self.joined:
            return
        if not keep:
            self._backend.delete(f"{self._name}.json")
        self._backend.unlock_for_ever(self._name)
        self._lock.close()


def footing_of(backend: Backend, root: str, profile: str, run_id: str, parent: str | None = None) -> Footing:
    """The footing of a run that this process works for, made when it is asked for first."""
    name = (root, profile, run_id)
    if name not in _footings:
        while len(_footings) >= _KEPT:
            _footings.popitem(last=False)[1].end()
        _footings[name] = Footing(backend, profile, run_id, parent)
    return _footings[name]


@contextmanager
def in_use(backend: Backend, profile: str, artifacts: Mapping[str, str]) -> Iterator[None]:
    """Let collection know, until the block ends, that somebody who is no run builds on these artifacts."""
    footing = Footing(backend, profile, f"build-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        footing.took(artifacts)
        yield
    finally:
        footing.end()


def leads(
    recipe: Recipe,
    now: str | None,
    footing: Footing,
    pointed_at: Callable[[str, str], str | None],
    get: Callable[[str, str], Artifact | None],
) -> bool:
    """Whether what a run made or took may become current, or another run of the profile was before it.

    It was where something else is current than this run saw when it began, for the key itself or for what the artifact
    is made from; then this run moves no pointer any more, so that what is current was all made by one run. What is
    current and made from what is no longer current is in nobody's way.

    now: what is current for the key. pointed_at: (key, profile) -> what is current.
    """

    def same(key: str, one: str | None, other: str | None) -> bool:
        if one == other:
            return True
        there = [get(key, item) if item else None for item in (one, other)]
        return None not in there and there[0].content_hash == there[1].content_hash  # type: ignore[union-attr]

    def of_others(key: str, fingerprint: str) -> bool:
        """Whether an artifact is another than the one that is current; what is not current at all is in no one's."""
        current = pointed_at(key, footing.profile)
        return current is not None and not same(key, current, fingerprint)

    def of_this_profile(inputs: Mapping[str, Input]) -> list[tuple[str, str]]:
        """Those that stand under their own key: what comes from elsewhere has another label, and is in no one's way."""
        return [(item.key, item.fingerprint) for label, item in inputs.items() if label == item.key]

    def by_another(key: str) -> bool:
        if now in (None, footing.seen.get(key), footing.own.get(key), recipe.fingerprint):
            return False
        other = get(key, now) if now else None
        return other is not None and not any(of_others(*one) for one in of_this_profile(other.manifest.inputs))

    if not footing.behind:
        changed = [one[0] for one in of_this_profile(recipe.inputs) if of_others(*one)]
        changed += [recipe.key] if by_another(recipe.key) else []
        if changed:
            footing.behind = changed[0]
            log.warning(
                "another run of the profile %s has made a %s of its own current while this one was at work: this one "
                "goes on with what it makes itself, to its end, and leaves what is current as it is; run it again, "
                "alone, to make its results current",
                footing.profile,
                footing.behind,
            )
    return not footing.behind


def stood_on(backend: Backend) -> Iterator[tuple[str, str]]:
    """(key, fingerprint) of all that runs at work stand on. Raises DamagedError where one's record cannot be read."""
    for run_id, alive in marks(backend):
        if alive:
            yield from standing_on(backend, run_id)


def marks(backend: Backend) -> Iterator[tuple[str, bool]]:
    """The id of every run that has a record, and whether it is at work; others failed, or were killed."""
    for run_id in backend.records(RUNS):
        yield run_id, backend.is_locked(f"{RUNS}/{run_id}")


def standing_on(backend: Backend, run_id: str) -> Iterable[tuple[str, str]]:
    """(key, fingerprint) of all that a run stands on, or stood on where it failed or was killed. Raises DamagedError
    where its record cannot be read."""
    return _read(backend, run_id).artifacts.items()


def forget_ended(backend: Backend) -> None:
    """Remove the records of runs that are over, failed ones included."""
    for run_id, alive in marks(backend):
        if not alive:
            backend.delete(f"{RUNS}/{run_id}.json")
            backend.unlock_for_ever(f"{RUNS}/{run_id}")


def _read(backend: Backend, run_id: str) -> _Record:
    """What a run wrote down last; nothing where it has not yet. Raises DamagedError."""
    name = f"{RUNS}/{run_id}.json"
    text = backend.read(name)
    try:
        return check(_Record, parse_json(text)) if text is not None else _Record("", {})
    except ValueError as error:
        raise DamagedError(
            f"{name}: not what a run stands on ({error}); end that run and start it again, or remove this file"
        ) from None


def _of_parent(backend: Backend, run_id: str, profile: str) -> dict[str, str]:
    """What the run that another goes on from stood on, where that is known and was of the same profile."""
    try:
        record = _read(backend, run_id)
    except DamagedError as error:
        log.warning("%s; this run goes on from what is current", error)
        return {}
    return dict(record.artifacts) if record.profile == profile else {}
