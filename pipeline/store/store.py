"""Build once, commit atomically, reuse for ever.

`Store.ensure` is the only way in. It computes the fingerprint; if a finished folder of that name is there, it is
reused. Otherwise the stage writes into `.building-<fingerprint>` beside it, under a lock. That folder survives a kill,
so a long build goes on from its finished parts. Then every file is synced and hashed, the manifest is written last and
the folder is renamed into place: a killed build leaves nothing that reads as finished.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipeline.base.canonical import canonical_json
from pipeline.base.errors import StoreError
from pipeline.base.files import naming_full_disk, sync_folder, write_text
from pipeline.base.lock import exclusive
from pipeline.store.files import sync_and_hash
from pipeline.store.fingerprint import differences, fingerprint, short
from pipeline.store.manifest import FORMAT, MANIFEST, Artifact, Input, Manifest, Provenance
from pipeline.store.provenance import git_commit, libraries

log = logging.getLogger(__name__)

STORE_FILE: Final = "store.json"
BUILDING: Final = ".building-"
DAMAGED: Final = ".damaged-"
CURRENT: Final = "CURRENT."
LINEAGE: Final = "lineage.json"
FOLDER_NAME: Final = re.compile(r"[0-9a-f]{32}")
MOST_REASONS: Final = 4


@dataclass(frozen=True)
class Built:
    """What a stage hands back: the hash of its logical content, and what it found out, as JSON values."""

    content_hash: str
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """An artifact that is there now, and how it came to be there."""

    artifact: Artifact
    reused: bool
    reason: str
    """Why it was built, or which run built what is reused."""


class Store:
    """The artifacts under one root, seen by one profile, whose pointers say which of them are current."""

    def __init__(self, root: Path, profile: str, *, run_id: str | None = None) -> None:
        self.root = root
        self.profile = profile
        self.run_id = run_id

    def open(self) -> Store:
        """Make the root and check that this version can read it. Raises StoreError when it cannot."""
        marker = self.root / STORE_FILE
        if marker.exists():
            try:
                found = json.loads(marker.read_text())["format"]
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{marker}: not a store's marker ({error}); point SQUEEZE_HOME at another folder"
                ) from error
            if found > FORMAT:
                raise StoreError(
                    f"{marker}: this store was written by a newer version of squeeze (format {found}; this one reads "
                    f"up to {FORMAT}); upgrade squeeze-gpt, or point SQUEEZE_HOME at another folder"
                )
        else:
            self.root.mkdir(parents=True, exist_ok=True)
            write_text(marker, json.dumps({"format": FORMAT}))
        return self

    @property
    def cache(self) -> Path:
        """Where downloads are kept: not artifacts, but worth keeping between builds."""
        return self.root / ".cache"

    # -- looking up ---------------------------------------------------------------------------------------------

    def current(self, key: str) -> Artifact:
        """The artifact this profile uses for `key`. Raises StoreError, saying what to run, when there is none."""
        found = self.find_current(key)
        if found is None:
            raise StoreError(
                f"{key} is not in the store {self.root} for the profile {self.profile}: materialize it first, "
                f'with `dagster asset materialize -m pipeline.definitions --select "{key}"`, or all with '
                "`dagster job execute -j full_train`"
            )
        return found

    def find_current(self, key: str, profile: str | None = None) -> Artifact | None:
        """As `current`, for any profile, or None."""
        name = self._pointer(key, profile or self.profile)
        return self.get(key, name) if name else None

    def get(self, key: str, name: str) -> Artifact | None:
        """The finished artifact of that key and fingerprint, or None."""
        folder = self.root / key / name
        manifest = folder / MANIFEST
        return Artifact(folder, Manifest.read(manifest)) if manifest.exists() else None

    def find_fresh(
        self, key: str, *, code_version: str, identity: Mapping[str, Any], inputs: Iterable[str]
    ) -> Artifact | None:
        """The finished artifact that `ensure` would reuse with the current artifacts of `inputs`, or None."""
        parents = {label: self.find_current(label) for label in inputs}
        hashes = {label: item.content_hash for label, item in parents.items() if item is not None}
        if len(hashes) < len(parents):
            return None
        return self.get(key, fingerprint(key, code_version, identity, hashes))

    def artifacts(self, key: str | None = None) -> Iterator[Artifact]:
        """Every finished artifact, or those of one key, in the order of their paths."""
        pattern = f"*/{MANIFEST}" if key else f"**/{MANIFEST}"
        base = self.root / key if key else self.root
        for file in sorted(base.glob(pattern)):
            if FOLDER_NAME.fullmatch(file.parent.name):
                yield Artifact(file.parent, Manifest.read(file))

    def pointers(self) -> Iterator[tuple[str, str, Artifact | None]]:
        """Every pointer: (profile, key, artifact). The artifact is None where it was removed by hand."""
        for file in sorted(self.root.glob(f"**/{CURRENT}*")):
            key = file.parent.relative_to(self.root).as_posix()
            yield file.name.removeprefix(CURRENT), key, self.get(key, file.read_text().strip())

    def ancestry(self, artifact: Artifact) -> dict[str, Artifact]:
        """The artifact and all it came from, by fingerprint, nearest first. Parents that are gone are left out."""
        found: dict[str, Artifact] = {}
        waiting = [artifact]
        while waiting:
            item = waiting.pop(0)
            if item.fingerprint in found:
                continue
            found[item.fingerprint] = item
            parents = (self.get(parent.key, parent.fingerprint) for parent in item.manifest.inputs.values())
            waiting.extend(parent for parent in parents if parent is not None)
        return found

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

        Where only a part of an input counts, `slices` gives the hash of that part under the input's name: an epoch's
        shards depend on their own epoch in the schedule, not on how many epochs follow.

        `build` gets a private folder to write into, which a killed earlier attempt may have left finished parts in.
        Raises StoreError when the disk is full; whatever else `build` raises passes through, and the parts stay.
        """
        parents = {label: item.as_input((slices or {}).get(label)) for label, item in inputs.items()}
        name = fingerprint(key, code_version, identity, {label: item.content_hash for label, item in parents.items()})
        outcome = self._reuse(key, name)
        if outcome is None:
            with exclusive(self.lock_file(key, name), f"building {key}"):
                outcome = self._reuse(key, name)
                if outcome is None:
                    reason = self._why(key, name, code_version, identity, parents)
                    log.info("%s: building %s (%s)", key, name[:8], reason)
                    made = (key, name, code_version, identity, parents)
                    artifact = self._build(*made, build, runtime or {}, reason)
                    outcome = Outcome(artifact, reused=False, reason=reason)
        write_text(self.root / key / f"{CURRENT}{self.profile}", name + "\n")
        return outcome

    def lock_file(self, key: str, name: str) -> Path:
        return self.root / key / f".{name}.lock"

    def _pointer(self, key: str, profile: str) -> str | None:
        """Fingerprint of what the profile last built or reused; its folder may be gone."""
        try:
            return (self.root / key / f"{CURRENT}{profile}").read_text().strip()
        except FileNotFoundError:
            return None

    def _reuse(self, key: str, name: str) -> Outcome | None:
        artifact = self.get(key, name)
        if artifact is None or artifact.damage():
            return None
        built = artifact.manifest.built
        return Outcome(artifact, reused=True, reason=f"built {built.at} by run {built.run_id or '(no run)'}")

    def _build(
        self,
        key: str,
        name: str,
        code_version: str,
        identity: Mapping[str, Any],
        inputs: Mapping[str, Input],
        build: Callable[[Path], Built],
        runtime: Mapping[str, Any],
        reason: str,
    ) -> Artifact:
        final = self.root / key / name
        folder = final.with_name(BUILDING + name)
        started = time.monotonic()
        with naming_full_disk(folder, key):
            folder.mkdir(parents=True, exist_ok=True)
            result = build(folder)
            if inputs:
                write_text(folder / LINEAGE, self._lineage(inputs))
            manifest = Manifest(
                key=key,
                fingerprint=name,
                code_version=code_version,
                identity=dict(identity),
                inputs=dict(inputs),
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
            canonical_json(manifest.summary, where=f"{key}: summary")
            write_text(folder / MANIFEST, manifest.to_json())
        if final.exists():
            final.replace(final.with_name(f"{DAMAGED}{name}-{time.time_ns()}"))
        folder.rename(final)
        sync_folder(final.parent)
        return Artifact(final, manifest)

    def _lineage(self, inputs: Mapping[str, Input]) -> str:
        """The flattened ancestry of the inputs as JSON: every settings value and hash behind this artifact."""
        found: dict[str, Artifact] = {}
        for parent in inputs.values():
            artifact = self.get(parent.key, parent.fingerprint)
            found |= self.ancestry(artifact) if artifact else {}
        rows = {
            item.fingerprint: {
                "key": item.key,
                "content_hash": item.content_hash,
                "code_version": item.manifest.code_version,
                "identity": item.manifest.identity,
                "inputs": {label: parent.fingerprint for label, parent in item.manifest.inputs.items()},
                "built": dataclasses.asdict(item.manifest.built),
            }
            for item in sorted(found.values(), key=lambda item: (item.key, item.fingerprint))
        }
        parents = {label: item.fingerprint for label, item in inputs.items()}
        return json.dumps({"inputs": parents, "artifacts": rows}, indent=1, ensure_ascii=False)

    def _why(
        self,
        key: str,
        name: str,
        code_version: str,
        identity: Mapping[str, Any],
        inputs: Mapping[str, Input],
    ) -> str:
        """The reason for a build in words, found by comparing with what this profile, or else anyone, built last."""
        existing = self.get(key, name)
        if existing is not None and (damage := existing.damage()):
            return f"rebuilt because: {damage}"
        if existing is None and self._pointer(key, self.profile) == name:
            return "rebuilt because: its folder was removed"
        previous = self.find_current(key) or max(
            self.artifacts(key), key=lambda item: item.manifest.built.at, default=None
        )
        if previous is None:
            return "first build"
        old = previous.manifest
        reasons = []
        if old.code_version != code_version:
            reasons.append(f"code version {old.code_version} -> {code_version}")
        plain = json.loads(canonical_json(identity))
        reasons += [f"{path} {short(a)} -> {short(b)}" for path, a, b in differences(old.identity, plain)]
        for label in sorted({*old.inputs, *inputs}):
            if label not in inputs:
                reasons.append(f"input {label} is gone")
            elif label not in old.inputs:
                reasons.append(f"input {label} is new")
            elif old.inputs[label].content_hash != inputs[label].content_hash:
                reasons.append(f"input {label} changed")
        shown = ", ".join(reasons[:MOST_REASONS])
        more = f" and {len(reasons) - MOST_REASONS} more" if len(reasons) > MOST_REASONS else ""
        return f"rebuilt because: {shown}{more}"
