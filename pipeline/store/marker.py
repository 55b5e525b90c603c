"""The file that marks a folder as a store, and says which format it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pipeline.base.errors import StoreError
from pipeline.store.backend import Backend
from pipeline.store.manifest import FORMAT
from trainer.records import parse_json

STORE_FILE: Final = "store.json"
TEXT: Final = json.dumps({"format": FORMAT})


def require_store(backend: Backend, root: Path) -> None:
    """Mark the root as a store, or check that this version can read it. Raises StoreError when it cannot."""
    marker = root / STORE_FILE
    try:
        text = backend.read(STORE_FILE)
        if text is None:
            backend.write(STORE_FILE, TEXT)
            return
    except OSError as error:
        raise StoreError(
            f"{root}: no store can be made there ({error.strerror or error}); correct its permissions, or point "
            "SQUEEZE_HOME at a folder that you may write to"
        ) from error
    version = _version_in(text)
    if version is None:
        raise StoreError(
            f"{marker}: not a store's marker (found {text[:40]!r}); if this is your store, write {TEXT} into it, else "
            "point SQUEEZE_HOME at another folder"
        )
    if version > FORMAT:
        raise StoreError(
            f"{marker}: this store was written by a newer version of squeeze (format {version}; this one reads up to "
            f"{FORMAT}); upgrade squeeze-gpt, or point SQUEEZE_HOME at another folder"
        )


def _version_in(text: str) -> int | None:
    """The format that a marker says, or None where it is none."""
    try:
        version = parse_json(text)["format"]
    except (ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, int) and not isinstance(version, bool) and version > 0 else None
