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
    "finished": Reader(make_part, (".part.finished",), read_part),
    "finding": Reader(make_finding, ("*.json",), read_finding),
}
