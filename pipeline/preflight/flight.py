"""What a run is about to do: its profile, and the assets that it will make because the store does not have them.

In: recipes, a store, and the launchpad's values. Out: a `Flight`. Whether an artifact is there is asked as the store
asks it when it reuses one, from manifests alone, so that a run in which nothing is left to make is held up by nothing.
Content of local files is not hashed for it: a file that is newer than what was made of it counts as another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any

from pipeline.assets.stored_asset import StoredAsset
from pipeline.assets.training import Training
from pipeline.base.canonical import canonical_json
from pipeline.base.errors import SourceError, StoreError
from pipeline.base.settings import identity_of
from pipeline.curation.settings import DocumentsSettings
from pipeline.curation.sources.unit_listing import local_paths
from pipeline.profile.profile import Profile
from pipeline.store import Artifact, Store


@dataclass(frozen=True)
class Flight:
    """A run before its first asset."""

    profile: Profile
    """With the launchpad's values laid over it."""
    store: Store
    makes: frozenset[str]
    """Keys of the assets that are to be made."""
    may_reuse: frozenset[str]
    """Of those, what the store has of equal settings: it is made only where something before it comes out otherwise."""
    lacks: Mapping[str, Sequence[str]]
    """Inputs of those that are neither made nor in the store, by the key of the asset that needs them."""
    astray: Mapping[str, str] = field(default_factory=dict)
    """Why an input from elsewhere in the store cannot be had, by the key of the asset that needs it."""

    @property
    def trains(self) -> bool:
        return "model" in self.makes

    def made(self, folder: str) -> list[str]:
        """Names of the assets of a folder that are to be made: of `documents`, corpora."""
        start = f"{folder}/"
        return sorted(key.removeprefix(start) for key in self.makes if key.startswith(start))


def flight_of(
    profile: Profile, store: Store, assets: Sequence[StoredAsset[Any]], given: Mapping[str, Mapping[str, Any]]
) -> Flight:
    """The flight of a run that selects these assets; `given`: the launchpad's values by an asset's key.

    Raises what laying the launchpad's values over the profile raises.
    """
    recipes = {asset.key: asset for asset in assets}
    graph = {key: [item for item in asset.inputs if item in recipes] for key, asset in recipes.items()}
    there: dict[str, Artifact] = {}
    lacks: dict[str, list[str]] = {}
    astray: dict[str, str] = {}
    may_reuse = set()
    training = profile.training
    for key in TopologicalSorter(graph).static_order():
        asset = recipes[key]
        settings = asset.settings
        if asset.override is not None and given.get(key):
            settings = asset.override(settings, given[key])
            training = settings.training if isinstance(settings, Training) else training
        inputs = {item: there.get(item) if item in recipes else store.find_current(item) for item in asset.inputs}
        missing = [item for item, artifact in inputs.items() if artifact is None and item not in recipes]
        if missing:
            lacks[key] = missing
        if asset.elsewhere is not None:
            try:
                inputs |= asset.elsewhere(settings, store)
            except StoreError as error:
                inputs["elsewhere"], astray[key] = None, str(error)
        known = {item: artifact for item, artifact in inputs.items() if artifact is not None}
        found = _finished(asset, settings, store, known, whole=len(known) == len(inputs))
        if found is not None and len(known) == len(inputs):
            there[key] = found
        elif found is not None:
            may_reuse.add(key)
    makes = frozenset(recipes.keys() - there.keys())
    return Flight(profile.model_copy(update={"training": training}), store, makes, frozenset(may_reuse), lacks, astray)


def _finished(
    asset: StoredAsset[Any], settings: Any, store: Store, inputs: Mapping[str, Artifact], *, whole: bool
) -> Artifact | None:
    """An artifact of the asset's settings and inputs; what its `override` adds to the settings may be anything.

    whole: `inputs` are all of them. Where they are not, those that are missing may be anything.
    """
    identity = json.loads(canonical_json(identity_of(settings), where=asset.key))
    slices = asset.slices(inputs) if asset.slices and whole else {}
    if asset.slices and not whole:
        inputs = {}  # how much of them is used depends on the missing ones
    parents = {label: item.as_input(slices.get(label)).content_hash for label, item in inputs.items()}
    for artifact in _newest_first(store, asset.key):
        manifest = artifact.manifest
        used = {label: item.content_hash for label, item in manifest.inputs.items() if label in parents}
        of_these = manifest.code_version == asset.version and used == parents
        stands_in = "not_possible" in manifest.identity
        if of_these and not stands_in and identity.items() <= manifest.identity.items() and not artifact.damage():
            return artifact if _same_files(settings, artifact) else None
    return None


def _newest_first(store: Store, key: str) -> Iterator[Artifact]:
    """What is current, which is nearly always what is looked for, and then all others."""
    try:
        current = store.find_current(key)
    except StoreError:  # its manifest is damaged: it will be built anew
        current = None
    if current is not None:
        yield current
    yield from (item for item in store.artifacts(key) if current is None or item.fingerprint != current.fingerprint)


def _same_files(settings: Any, artifact: Artifact) -> bool:
    """Whether local sources are files of the same names, none changed since the artifact was made."""
    if not isinstance(settings, DocumentsSettings):
        return True
    made = datetime.fromisoformat(artifact.manifest.built.at).timestamp()
    try:
        files = local_paths(settings.sources)
        unchanged = all(max(path.stat().st_mtime, path.stat().st_ctime) <= made + 1 for _, path in files)
    except (SourceError, OSError):
        return False
    before = [name for name, _ in artifact.manifest.identity.get("files", [])]
    return unchanged and [name for name, _ in files] == before
