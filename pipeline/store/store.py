"""Build once, commit atomically, reuse for ever.

`Store.ensure` is the only way in. It computes the fingerprint; if a finished artifact of that fingerprint is there, it
is reused. Otherwise the asset's function writes into a workspace, under a lease. The workspace survives a kill, so a
long build goes on from its finished parts. Then every file is synced and hashed, and the manifest, written last, is the
commit: a killed build leaves nothing that reads as finished.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipeline.base.canonical import canonical_json
from pipeline.base.errors import DamagedError, StoreError
from pipeline.base.files import naming_full_disk, write_text
from pipeline.base.progress import PROGRESS
from pipeline.store.artifact import Artifact
from pipeline.store.backend import CURRENT, MANIFEST, Backend, fingerprint_in
from pipeline.store.catalogue import Catalogue
from pipeline.store.local import sync_and_hash
from pipeline.store.manifest import AGAIN, Input, Manifest, Provenance
from pipeline.store.marker import require_store
from pipeline.store.missing import building
from pipeline.store.origin import claim, require_own
from pipeline.store.provenance import git_commit, libraries, platform_here
from pipeline.store.rebuild_reason import rebuild_reason
from pipeline.store.recipe import Built, Outcome, Recipe, lineage_of
from pipeline.store.remote.shared import backend_of
from pipeline.store.running import Footing, footing_of, in_use, leads
from pipeline.store.soundness import remember_sound, unsound

log = logging.getLogger(__name__)

LINEAGE: Final = "lineage.json"
POINTERS: Final = ".pointers"
"""Name of the lock under which pointers are moved and artifacts taken out."""


class Store:
    """The artifacts under one root, seen by one profile, whose pointers say which of them are current."""

    def __init__(
        self,
        root: Path,
        profile: str,
        *,
        named: str | None = None,
        run_id: str | None = None,
        origin: str | None = None,
        backend: Backend | None = None,
    ) -> None:
        """root: where caches are kept, and the artifacts. named: the profile as the user names it, such as its file,
        for the commands that errors name. run_id: who builds, for manifests. origin: the file that the profile is read
        from (`store.origin`); None: it is not asked whose the name is. backend: what holds the artifacts; by default
        that folder, with a bucket behind it where SQUEEZE_STORE names one."""
        self.root = root
        self.profile = profile
        self.named = named
        self.run_id = run_id
        self.origin = origin
        self.backend = backend or backend_of(root)
        self.footing: Footing | None = None
        """What the run stands on that this store is opened for; none: what is current, whenever it is asked for."""

    def for_run(self, run_id: str, parent: str | None = None) -> Store:
        """This store as one run that this process works for sees it, whatever becomes current meanwhile; `parent`: the
        run that it goes on from."""
        self.run_id = run_id
        self.footing = footing_of(self.backend, str(self.root), self.profile, run_id, parent)
        return self

    def open(self) -> Store:
        """Mark the root as a store, or check that this version can read it, and that what it has for the profile's name
        is not of another one. Raises StoreError otherwise."""
        require_store(self.backend, self.root)
        return self.own()

    def own(self) -> Store:
        """This store, whose results of the profile's name are the profile's. Raises StoreError where they are not."""
        if self.origin is not None:
            require_own(self.backend, self.profile, self.origin)
        return self

    @property
    def cache(self) -> Path:
        """Where downloads are kept: not artifacts, but worth keeping between builds."""
        return self.root / ".cache"

    # -- looking up ---------------------------------------------------------------------------------------------

    def current(self, key: str) -> Artifact:
        """The artifact this profile uses for `key`. Raises StoreError, saying what to run, when there is none."""
        artifact = self.find_current(key)
        if artifact is None:
            raise StoreError(
                f"{key} is not in the store {self.root} for the profile {self.profile}; build it, and what it needs "
                f"and is missing too, with `{building(key, self.profile, self.named)}`"
            )
        return artifact

    def find_current(self, key: str, profile: str | None = None) -> Artifact | None:
        """As `current`, for any profile, or None."""
        fingerprint = self.pointed_at(key, profile or self.profile)
        if self.footing is not None and profile in (None, self.profile):
            fingerprint = self.footing.of(key, fingerprint)
        return self.get(key, fingerprint) if fingerprint else None

    def get(self, key: str, fingerprint: str) -> Artifact | None:
        """The finished artifact of that key and fingerprint, or None."""
        record = f"{key}/{fingerprint}/{MANIFEST}"
        text = self.backend.read(record)
        if text is None:
            return None
        manifest = Manifest.parse(text, str(self.root / record))
        if (manifest.key, manifest.fingerprint) != (key, fingerprint):
            raise DamagedError(f"{self.root / record}: this is the manifest of another artifact; {AGAIN}")
        return Artifact(manifest, self.backend)

    def input_of(self, artifact: Artifact, label: str) -> Artifact:
        """What an artifact was made from. Raises StoreError where the store has it no more."""
        made_from = artifact.manifest.inputs[label]
        found = self.get(made_from.key, made_from.fingerprint)
        if found is None:
            raise StoreError(
                f"{made_from.key}, which {artifact.key} was made from, is no longer in the store: materialize "
                f"{artifact.key} again"
            )
        return found

    def find_fresh(
        self, key: str, *, code_version: str, identity: Mapping[str, Any], inputs: Iterable[str]
    ) -> Artifact | None:
        """The finished artifact that `ensure` would reuse with the current artifacts of `inputs`, or None."""
        parents = {label: self.find_current(label) for label in inputs}
        known = {label: item.as_input() for label, item in parents.items() if item is not None}
        if len(known) < len(parents):
            return None
        return self.get(key, Recipe(key, code_version, identity, known).fingerprint)

    def pointed_at(self, key: str, profile: str) -> str | None:
        """Fingerprint of what is current for a profile; the artifact may be gone. None where no pointer can be read."""
        with suppress(DamagedError):
            return fingerprint_in(self.backend.read(f"{key}/{CURRENT}{profile}"))
        return None

    def look_ahead(self, keys: Iterable[str]) -> None:
        """Take for the run what is current now for each of these keys: what it may ask for, or will make current."""
        if self.footing is not None:
            for key in keys:
                self.footing.of(key, self.pointed_at(key, self.profile))
            with self._pointers():
                self.footing.write()

    def artifacts(self, key: str | None = None, *, unreadable: list[str] | None = None) -> Iterator[Artifact]:
        """Every finished artifact, or those of one key, in the order of their keys and fingerprints.

        One whose manifest cannot be read is left out; what is wrong with it is said in `unreadable`, or in the log.
        """
        for pair in self.backend.manifests(key):
            try:
                artifact = self.get(*pair)
            except StoreError as error:
                _say(error, unreadable)
                continue
            if artifact is not None:  # it may have been removed meanwhile
                yield artifact

    def catalogue(self) -> Catalogue:
        """Every artifact in a few words each, without reading again the manifests that were read before."""
        return Catalogue(self.backend, self.get, self.cache)

    def pointers(
        self, of: str | None = None, *, unreadable: list[str] | None = None
    ) -> Iterator[tuple[str, str, Artifact | None]]:
        """Every pointer, or those of one profile: (profile, key, artifact).

        The artifact is None where it was removed by hand, or cannot be read; `unreadable`, or the log, says that.
        """
        for key, profile in self.backend.pointers():
            if of not in (None, profile):
                continue
            try:
                fingerprint = self.pointed_at(key, profile)
                if fingerprint is None:
                    file = self.root / key / f"{CURRENT}{profile}"
                    _say(f"{file}: this pointer is damaged; the next run of the profile writes it anew", unreadable)
                yield profile, key, self.get(key, fingerprint) if fingerprint else None
            except StoreError as error:
                _say(error, unreadable)
                yield profile, key, None

    def ancestry(self, artifact: Artifact) -> dict[str, Artifact]:
        """The artifact and all it came from, by fingerprint, nearest first. Parents that are gone are left out."""
        known: dict[str, Artifact] = {}
        waiting = [artifact]
        while waiting:
            item = waiting.pop(0)
            if item.fingerprint in known:
                continue
            known[item.fingerprint] = item
            parents = (self.get(parent.key, parent.fingerprint) for parent in item.manifest.inputs.values())
            waiting.extend(parent for parent in parents if parent is not None)
        return known

    # -- building -----------------------------------------------------------------------------------------------

    def ensure(
        self,
        key: str,
        *,
        code_version: str,
        identity: Mapping[str, Any],
        inputs: Mapping[str, Artifact],
        build: Callable[[Path], Built],
        runtime: Mapping[str, Any] | None = None,
        slices: Mapping[str, str] | None = None,
        thorough: bool = False,
    ) -> Outcome:
        """Reuse the artifact these settings and inputs name, or build it; it becomes this profile's current one.

        Where only a part of an input counts, `slices` gives the hash of that part under the input's label: an epoch's
        shards depend on their own epoch in the schedule, not on how many epochs follow.

        Names and sizes are looked at before something is reused; where `thorough`, contents too.

        `build` gets a private folder to write into, which a killed earlier attempt may have left finished parts in.
        Raises DiskFullError when the disk is full; whatever else `build` raises passes through, and the parts stay.
        """
        parents = {label: item.as_input((slices or {}).get(label)) for label, item in inputs.items()}
        recipe = Recipe(key, code_version, identity, parents)
        while True:
            outcome = self._reuse(recipe, thorough)
            if outcome is None:
                outcome = self._build_alone(recipe, build, runtime or {}, thorough)
            if self._settled(recipe):
                return outcome

    def _build_alone(
        self, recipe: Recipe, build: Callable[[Path], Built], runtime: Mapping[str, Any], thorough: bool
    ) -> Outcome:
        """Build under the lease, unless who held it before has."""
        key, fingerprint = recipe.key, recipe.fingerprint
        with self.backend.lease(key, fingerprint, f"building {key}"), self._in_use(recipe.inputs.values()):
            outcome = self._reuse(recipe, thorough)
            if outcome is not None:
                return outcome
            reason = self._why(recipe)
            log.info("%s: building %s (%s)", key, fingerprint[:8], reason, extra={PROGRESS: True})
            return Outcome(self._build(recipe, build, runtime, reason), reused=False, reason=reason)

    def _reuse(self, recipe: Recipe, thorough: bool) -> Outcome | None:
        try:
            artifact = self.get(recipe.key, recipe.fingerprint)
        except DamagedError:
            return None
        if artifact is None:
            return None
        damage = artifact.damage() or (unsound(artifact) if thorough and artifact.is_here else None)
        if damage and not self.backend.restore(artifact.manifest):
            return None
        built = artifact.manifest.built
        return Outcome(artifact, reused=True, reason=f"built {built.at} by run {built.run_id or '(no run)'}")

    @contextmanager
    def _pointers(self) -> Iterator[None]:
        """Nobody else moves pointers or takes artifacts out until the block ends."""
        with ExitStack() as stack:
            with suppress(OSError):  # a disk that cannot be written, where nobody does
                stack.enter_context(self.backend.lock(POINTERS, "moving pointers"))
            yield

    def _in_use(self, inputs: Iterable[Input]) -> AbstractContextManager[None]:
        """Keep collection from the inputs of a build; those of a run are in its footing."""
        if self.footing is not None and self.footing.alive:
            return nullcontext()
        return in_use(self.backend, self.profile, {item.key: item.fingerprint for item in inputs})

    def _settled(self, recipe: Recipe) -> bool:
        """Have the run stand on the artifact, and make it current; False where it has just been collected."""
        key, fingerprint = recipe.key, recipe.fingerprint
        self.backend.share(key, fingerprint)
        with self._pointers():
            if self.get(key, fingerprint) is None:
                return False
            self.backend.tidy(key)
            if self.footing is not None:
                self.footing.catch_up()
            while True:
                now = self.pointed_at(key, self.profile)
                moves = self.footing is None or leads(recipe, now, self.footing, self.pointed_at, self.get)
                if self.footing is not None:
                    self.footing.took({key: fingerprint})
                if moves and self.origin is not None:
                    with suppress(OSError):  # a disk that cannot be written
                        claim(self.backend, self.profile, self.origin)
                if not moves or now == fingerprint:  # what is right already is left: the disk may be read-only
                    break
                if self.backend.replace(f"{key}/{CURRENT}{self.profile}", fingerprint + "\n", now):
                    break
        return True

    def _build(
        self, recipe: Recipe, build: Callable[[Path], Built], runtime: Mapping[str, Any], reason: str
    ) -> Artifact:
        started = time.monotonic()
        lineage = lineage_of(recipe.inputs, self._ancestors(recipe.inputs))  # before any of them can be collected
        folder = self.backend.workspace(recipe.key, recipe.fingerprint)
        with naming_full_disk(folder, recipe.key):
            result = build(folder)
            canonical_json(result.summary, where=f"{recipe.key}: summary")
            if recipe.inputs:
                write_text(folder / LINEAGE, lineage)
            manifest = Manifest(
                key=recipe.key,
                fingerprint=recipe.fingerprint,
                code_version=recipe.code_version,
                identity=dict(recipe.identity),
                inputs=dict(recipe.inputs),
                content_hash=result.content_hash,
                files=sync_and_hash(folder),
                summary=dict(result.summary),
                built=Provenance(
                    at=datetime.now(UTC).isoformat(timespec="seconds"),
                    seconds=round(time.monotonic() - started, 2),
                    profile=self.profile,
                    run_id=self.run_id,
                    reason=reason,
                    git_commit=git_commit(),
                    libraries=libraries(),
                    runtime=dict(runtime),
                    platform=platform_here(),
                ),
            )
            manifest = self.backend.commit(manifest)
        artifact = Artifact(manifest, self.backend)
        for name, record in manifest.files.items():
            remember_sound(artifact.path / name, record)
        return artifact

    def _ancestors(self, inputs: Mapping[str, Input]) -> Iterable[Artifact]:
        """The inputs and all that they came from."""
        known: dict[str, Artifact] = {}
        for parent in inputs.values():
            artifact = self.get(parent.key, parent.fingerprint)
            known |= self.ancestry(artifact) if artifact else {}
        return known.values()

    def _why(self, recipe: Recipe) -> str:
        """The reason for a build in words, by comparing with what this profile, or else anyone, built last."""
        try:
            existing = self.get(recipe.key, recipe.fingerprint)
        except DamagedError as error:
            return f"rebuilt because: {error}"
        if existing is not None and (damage := existing.damage() or unsound(existing)):
            return f"rebuilt because: {damage}"
        if existing is None and self.pointed_at(recipe.key, self.profile) == recipe.fingerprint:
            return "rebuilt because: its folder was removed"
        previous = None
        with suppress(DamagedError):
            previous = self.find_current(recipe.key)
        previous = previous or max(self.artifacts(recipe.key), key=lambda item: item.manifest.built.at, default=None)
        if previous is None:
            return "first build"
        return rebuild_reason(previous.manifest, recipe.code_version, recipe.identity, recipe.inputs)


def _say(fault: object, unreadable: list[str] | None) -> None:
    if unreadable is None:
        log.warning("%s", fault)
    elif str(fault) not in unreadable:
        unreadable.append(str(fault))
