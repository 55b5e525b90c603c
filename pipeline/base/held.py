"""A workspace that a process holds beyond the build it was made by: a trainer that may outlive Dagster.

In: the folder of a build. The process holds a lock in its folder `launch`, which ends with it, and has left there what
the workspace stands on. Collection takes neither the workspace nor that away, though no build holds its lease.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeline.base.lock import exclusive_if_free
from trainer.files import write_json

LAUNCH: Final = "launch"
"""Folder of a workspace with what its launcher keeps: no part of the artifact."""
_STANDS_ON: Final = "stands_on.json"


def lock_of(workspace: Path) -> Path:
    """The lock file that a process which holds the workspace locks."""
    return workspace / LAUNCH / "lock"


def is_held(workspace: Path) -> bool:
    """Whether a living process holds the workspace."""
    if not lock_of(workspace).exists():
        return False
    with exclusive_if_free(lock_of(workspace)) as free:
        return not free


def write_stands_on(workspace: Path, artifacts: Mapping[str, str]) -> None:
    """Leave what the workspace is built from: fingerprints by key."""
    write_json(workspace / LAUNCH / _STANDS_ON, dict(artifacts))


def stands_on(workspace: Path) -> dict[str, str]:
    """Fingerprints by key of what a workspace is built from; empty where nobody has left any."""
    try:
        rows = json.loads((workspace / LAUNCH / _STANDS_ON).read_text(encoding="utf-8"))
        return {str(key): str(fingerprint) for key, fingerprint in rows.items()}
    except (OSError, ValueError, AttributeError):
        return {}
