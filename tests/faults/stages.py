"""The tiny project's assets, from documents to shards, built in this process by the recipes that Dagster runs.

What trains, and what is made from a model, is left out: it takes seconds to start. So hundreds of runs fit into the
time of a few, and each can be forked off a process that has imported everything already.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipeline.assets.every import full_train_assets
from pipeline.assets.stored_asset import StoredAsset, reuse_or_make
from pipeline.profile.profile import load_profile
from pipeline.store import Store
from pipeline.store.maintenance import damaged_in

VARYING = ("lineage.json",)
"""Files that hold times."""


@functools.cache
def stages(profile: Path) -> tuple[StoredAsset[Any], ...]:
    """The recipes, each after those it is made from; without pictures, which take longer than all the rest."""
    recipes = (dataclasses.replace(asset, pictures=None) for asset in full_train_assets(load_profile(str(profile))))
    waiting = {asset.key: asset for asset in recipes}
    ordered: dict[str, StoredAsset[Any]] = {}
    while ready := [
        asset
        for key, asset in waiting.items()
        if key not in ("model", *ordered)
        and all(name in ordered for name in asset.inputs)
        and all(name in ordered or name not in waiting for name in asset.optional)
    ]:
        ordered |= {asset.key: asset for asset in ready}
    return tuple(ordered.values())


def build(profile: Path, home: Path, run_id: str) -> None:
    """Make what is missing, as a run of its own; raises what the first failing asset raises."""
    opened = Store(home, profile.stem).open()
    store = opened.for_run(run_id)
    run = SimpleNamespace(job_name="full_train", run_id=run_id, run_config={})
    for asset in stages(profile):
        context: Any = SimpleNamespace(
            run=run,
            log=logging.getLogger("faults"),
            op_execution_context=SimpleNamespace(op_config={}, op=SimpleNamespace(name=asset.key)),
        )
        reuse_or_make(asset, store, context)


def state(home: Path, profile: Path) -> dict[str, dict[str, str]]:
    """For each current artifact its fingerprint, content hash and the SHA-256 of its files, as they are on the disk."""
    opened = Store(home, profile.stem)
    found: dict[str, dict[str, str]] = {}
    for _, key, artifact in opened.pointers():
        if artifact is None:
            found[key] = {"": "missing"}
            continue
        files = {name: record.sha256 for name, record in artifact.manifest.files.items() if name not in VARYING}
        found[key] = {"fingerprint": artifact.fingerprint, "content": artifact.content_hash} | files
    return found


def whole(home: Path, profile: Path) -> dict[tuple[str, str], int]:
    """(key, fingerprint) of every artifact whose bytes are those of its manifest, with their number."""
    looked = damaged_in(Store(home, profile.stem))
    return {(item.key, item.fingerprint): item.bytes for item in looked if item.bytes is not None and not item.faults}


def put_damage_aside(home: Path, profile: Path) -> list[str]:
    """What `squeeze verify --repair` does; the files it names."""
    store = Store(home, profile.stem)
    named = []
    for item in list(damaged_in(store)):
        if item.faults:
            named += item.faults
            item.put_aside(store)
    return named
