"""Build once, commit atomically, reuse for ever.

`Store.ensure` is the only way in. It computes the fingerprint; if a finished artifact of that fingerprint is there, it
is reused. Otherwise the asset's function writes into a workspace, under a lease. The workspace survives a kill, so a
long build goes on from its finished parts. Then every file is synced and hashed, and the manifest, written last, is the
commit: a killed build leaves nothing that reads as finished.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipeline.base.canonical import canonical_json
from pipeline.base.errors import DamagedError, StoreError
from pipeline.base.files import naming_full_disk, write_text
from pipeline.base.progress import PROGRESS
from pipeline.store.artifact import Artifact
from pipeline.store.backend import CURRENT, MANIFEST, Backend
from pipeline.store.fingerprint import fingerprint_of
from pipeline.store.local import LocalBackend, sync_and_hash
from pipeline.store.manifest import FORMAT, Input, Manifest, Provenance
from pipeline.store.missing import building
from pipeline.store.provenance import git_commit, libraries
from pipeline.store.rebuild_reason import rebuild_reason
from pipeline.store.soundness import remember_sound

log = logging.getLogger(__name__)

STORE_FILE: Final = "store.json"
LINEAGE: Final = "lineage.json"


@dataclass(frozen=True)
class Built:
    """What an asset's function hands back: the hash of its logical content, and what it found out, as JSON values."""

    content_hash: str
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """An artifact that is there now, and how it came to be there."""

    artifact: Artifact
    reused: bool
    reason: str
    """Why it was built, or which run built what is reused."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides an artifact, and the fingerprint of it all."""

    key: str
    code_version: str
    identity: Mapping[str, Any]
    inputs: Mapping[str, Input]

    @property
    def fingerprint(self) -> str:
        hashes = {label: item.content_hash for label, item in self.inputs.items()}
        return fingerprint_of(self.key, self.code_version, self.identity, hashes)


class Store:
    """The artifacts under one root, seen by one profile, whose pointers say which of them are current."""

    def __init__(
        self,
        root: Path,
        profile: str,
        *,
        named: str | None = None,
        run_id: str | None = None,
        backend: Backend | None = None,
    ) -> None:
        """root: where caches are kept, and the artifacts too unless another `backend` holds them. named: the profile
        as the user names it, such as its file, for the commands that errors name."""
        self.root = root
        self.profile = profile
        self.named = named
        self.run_id = run_id
        self.backend = backend or LocalBackend(root)

    def open(self) -> Store:
        """Mark the root as a store, or check that this version can read it. Raises StoreError when it cannot."""
        text = self.backend.read(STORE_FILE)
        if text is None:
            self.backend.write(STORE_FILE, json.dumps({"format": FORMAT}))
            return self
        marker = self.root / STORE_FILE
        try:
            version = json.loads(text)["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{marker}: not a store's marker ({error}); point SQUEEZE_HOME at another folder"
            ) from error
        if version > FORMAT:
            raise StoreError(
                f"{marker}: this store was written by a newer version of squeeze (format {version}; this one reads "
                f"up to {FORMAT}); upgrade squeeze-gpt, or point SQUEEZE_HOME at another folder"
            )
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
        fingerprint = self._pointed_at(key, profile or self.profile)
        return self.get(key, fingerprint) if fingerprint else None

    def get(self, key: str, fingerprint: str) -> Artifact | None:
        """The finished artifact of that key and fingerprint, or None."""
        record = f"{key}/{fingerprint}/{MANIFEST}"
        text = self.backend.read(record)
        return None if text is None else Artifact(Manifest.parse(text, str(self.root / record)), self.backend)

    def find_fresh(
        self, key: str, *, code_version: str, identity: Mapping[str, Any], inputs: Iterable[str]
    ) -> Artifact | None:
        """The finished artifact that `ensure` would reuse with the current artifacts of `inputs`, or None."""
        parents = {label: self.find_current(label) for label in inputs}
        known = {label: item.as_input() for label, item in parents.items() if item is not None}
        if len(known) < len(parents):
            return None
        return self.get(key, Recipe(key, code_version, identity, known).fingerprint)

    def artifacts(self, key: str | None = None) -> Iterator[Artifact]:
        """Every finished artifact, or those of one key, in the order of their keys and fingerprints."""
        for pair in self.backend.manifests(key):
            if (artifact := self.get(*pair)) is not None:  # it may have been removed meanwhile
                yield artifact

    def pointers(self) -> Iterator[tuple[str, str, Artifact | None]]:
        """Every pointer: (profile, key, artifact). The artifact is None where it was removed by hand."""
        for key, profile in self.backend.pointers():
            yield profile, key, self.find_current(key, profile)

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
    ) -> Outcome:
        """Reuse the artifact these settings and inputs name, or build it; it becomes this profile's current one.

        Where only a part of an input counts, `slices` gives the hash of that part under the input's label: an epoch's
        shards depend on their own epoch in the schedule, not on how many epochs follow.

        `build` gets a private folder to write into, which a killed earlier attempt may have left finished parts in.
        Raises DiskFullError when the disk is full; whatever else `build` raises passes through, and the parts stay.
        """
        parents = {label: item.as_input((slices or {}).get(label)) for label, item in inputs.items()}
        recipe = Recipe(key, code_version, identity, parents)
        fingerprint = recipe.fingerprint
        outcome = self._reuse(key, fingerprint)
        if outcome is None:
            with self.backend.lease(key, fingerprint, f"building {key}"):
                outcome = self._reuse(key, fingerprint)
                if outcome is None:
                    reason = self._why(recipe)
                    log.info("%s: building %s (%s)", key, fingerprint[:8], reason, extra={PROGRESS: True})
                    outcome = Outcome(self._build(recipe, build, runtime or {}, reason), reused=False, reason=reason)
        self.backend.write(f"{key}/{CURRENT}{self.profile}", fingerprint + "\n")
        return outcome

    def _pointed_at(self, key: str, profile: str) -> str | None:
        """Fingerprint of what the profile last built or reused; the artifact may be gone."""
        text = self.backend.read(f"{key}/{CURRENT}{profile}")
        return None if text is None else text.strip()

    def _reuse(self, key: str, fingerprint: str) -> Outcome | None:
        try:
            artifact = self.get(key, fingerprint)
        except DamagedError:
            return None
        if artifact is None or artifact.damage():
            return None
        built = artifact.manifest.built
        return Outcome(artifact, reused=True, reason=f"built {built.at} by run {built.run_id or '(no run)'}")

    def _build(
        self, recipe: Recipe, build: Callable[[Path], Built], runtime: Mapping[str, Any], reason: str
    ) -> Artifact:
        started = time.monotonic()
        folder = self.backend.workspace(recipe.key, recipe.fingerprint)
        with naming_full_disk(folder, recipe.key):
            result = build(folder)
            canonical_json(result.summary, where=f"{recipe.key}: summary")
            if recipe.inputs:
                write_text(folder / LINEAGE, self._lineage(recipe.inputs))
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
                ),
            )
            self.backend.commit(manifest)
        artifact = Artifact(manifest, self.backend)
        for name, record in manifest.files.items():
            remember_sound(artifact.path / name, record)
        return artifact

    def _lineage(self, inputs: Mapping[str, Input]) -> str:
        """The flattened ancestry of the inputs as JSON: every settings value and hash behind this artifact."""
        ancestors: dict[str, Artifact] = {}
        for parent in inputs.values():
            artifact = self.get(parent.key, parent.fingerprint)
            ancestors |= self.ancestry(artifact) if artifact else {}
        rows = {
            item.fingerprint: {
                "key": item.key,
                "content_hash": item.content_hash,
                "code_version": item.manifest.code_version,
                "identity": item.manifest.identity,
                "inputs": {label: parent.fingerprint for label, parent in item.manifest.inputs.items()},
                "built": dataclasses.asdict(item.manifest.built),
            }
            for item in sorted(ancestors.values(), key=lambda item: (item.key, item.fingerprint))
        }
        parents = {label: item.fingerprint for label, item in inputs.items()}
        return json.dumps({"inputs": parents, "artifacts": rows}, indent=1, ensure_ascii=False)

    def _why(self, recipe: Recipe) -> str:
        """The reason for a build in words, by comparing with what this profile, or else anyone, built last."""
        try:
            existing = self.get(recipe.key, recipe.fingerprint)
        except DamagedError as error:
            return f"rebuilt because: {error}"
        if existing is not None and (damage := existing.damage()):
            return f"rebuilt because: {damage}"
        if existing is None and self._pointed_at(recipe.key, self.profile) == recipe.fingerprint:
            return "rebuilt because: its folder was removed"
        previous = self.find_current(recipe.key) or max(
            self.artifacts(recipe.key), key=lambda item: item.manifest.built.at, default=None
        )
        if previous is None:
            return "first build"
        return rebuild_reason(previous.manifest, recipe.code_version, recipe.identity, recipe.inputs)
