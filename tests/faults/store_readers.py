"""Readers of the store: manifests, pointers, lineages, runs, findings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from tests.faults.reader import Reader, store


def make_store(folder: Path) -> None:
    """Two artifacts, one made of the other, and their pointers."""
    for name in ("store.json", "tokens/web", "documents/web", "mixture"):
        if (store() / name).is_dir():
            shutil.copytree(store() / name, folder / name)
        else:
            shutil.copy(store() / name, folder / name)


def read_store(folder: Path) -> Any:
    from pipeline.store import Store
    from pipeline.store.collection import garbage
    from pipeline.store.maintenance import damaged_in

    opened = Store(folder, "tiny").open()
    artifacts = list(opened.artifacts(unreadable=[]))
    return [
        list(damaged_in(opened)),
        [opened.ancestry(item) for item in artifacts],
        [list(opened.pointers()), opened.find_current("mixture")],
        garbage(opened, unfinished=True),
        [item.summary for item in artifacts],
    ]


def seal_manifest(name: str, data: bytes) -> bytes:
    from pipeline.store.manifest import SEAL, _seal

    value = json.loads(data) if name == "manifest.json" and data.startswith(b"{") else None
    if not isinstance(value, dict) or SEAL not in value:
        return data
    value.pop(SEAL)
    return json.dumps(value | {SEAL: _seal(value)}).encode()


def make_lineage(folder: Path) -> None:
    """What an artifact was made from is said by its lineage alone, as its manifest is damaged."""
    make_store(folder)
    manifest = next((folder / "tokens/web").glob("*/manifest.json"))
    manifest.write_text("{")


def make_run(folder: Path) -> None:
    make_store(folder)
    (folder / ".runs").mkdir()
    pointer = (folder / "mixture/CURRENT.tiny").read_text().strip()
    (folder / ".runs/one.json").write_text(json.dumps({"profile": "tiny", "artifacts": {"mixture": pointer}}))


def read_run(folder: Path) -> Any:
    """What a run at work stands on, and what another goes on from when it has failed."""
    from pipeline.store import Store
    from pipeline.store.collection import garbage
    from pipeline.store.running import Footing

    opened = Store(folder, "tiny")
    with opened.backend.lock(".runs/one", "at work"):
        kept = garbage(opened)
    other = Footing(opened.backend, "tiny", "another", parent="one")
    other.end()
    return kept, other.own


def make_catalogue(folder: Path) -> None:
    """What a look at the store has written down, so that the next one need not read manifests."""
    make_store(folder)
    read_store(folder)


def seal_catalogue(name: str, data: bytes) -> bytes:
    from pipeline.store.catalogue import _seal

    entries = data.partition(b"\n")[2]
    return _seal(entries) + b"\n" + entries


def make_origin(folder: Path) -> None:
    from pipeline.store import Store
    from pipeline.store.origin import claim

    claim(Store(folder, "tiny").backend, "tiny", str(folder / "tiny.yaml"))


def read_origin(folder: Path) -> Any:
    from pipeline.store import Store
    from pipeline.store.origin import require_own

    require_own(Store(folder, "tiny").backend, "tiny", str(folder / "another.yaml"))


def make_uses(folder: Path) -> None:
    """What processes alive and runs hold of a store that is cleared to make room, as what is in a bucket too."""
    from pipeline.store.remote.room import USES

    make_run(folder)
    (folder / USES).mkdir()
    (folder / USES / "one.json").write_text(json.dumps([f"{key}/{'0' * 32}" for key in ("mixture", "tokens/web")]))


def read_uses(folder: Path) -> Any:
    from pipeline.store.local import LocalBackend
    from pipeline.store.remote.room import USES, make_room

    backend = LocalBackend(folder)
    with backend.lock(f"{USES}/one", "in use"):
        return make_room(backend, 1, lambda key, fingerprint: False)


def make_lease(folder: Path) -> None:
    (folder / "lease.json").write_text(
        json.dumps({"host": "a", "process": 1, "purpose": "b", "renewal": 3, "free": True})
    )


def read_lease(folder: Path) -> Any:
    from pipeline.store.remote.leases import _decoded

    return _decoded((folder / "lease.json").read_bytes())


def make_part(folder: Path) -> None:
    from pipeline.base.finished import finish

    (folder / "part").write_text("text")
    finish(folder / "part")


def read_part(folder: Path) -> Any:
    from pipeline.base.finished import is_finished

    return is_finished(folder / "part")


def make_finding(folder: Path) -> None:
    shutil.copytree(store() / ".cache/findings", folder, dirs_exist_ok=True)


def read_finding(folder: Path) -> Any:
    from pipeline.assets.remembered_checks import read_finding as read

    return [read(file) for file in folder.glob("*.json")]


READERS: Final[dict[str, Reader]] = {
    "store": Reader(make_store, ("**/manifest.json", "store.json", "**/CURRENT.*", "**/lineage.json"), read_store),
    "manifest": Reader(make_store, ("**/manifest.json",), read_store, seal_manifest),
    "lineage": Reader(make_lineage, ("tokens/web/*/lineage.json",), read_store),
    "run at work": Reader(make_run, (".runs/one.json",), read_run),
    "catalogue": Reader(make_catalogue, (".cache/catalogue.*",), read_store, seal_catalogue),
    "origin": Reader(make_origin, ("**/tiny.json",), read_origin),
    "uses": Reader(make_uses, (".runs/one.json", "**/one.json"), read_uses),
    "lease": Reader(make_lease, ("lease.json",), read_lease),
    "finished": Reader(make_part, (".part.finished",), read_part),
    "finding": Reader(make_finding, ("*.json",), read_finding),
}
