"""Where a bucket keeps what: the names of its objects, and the records of a local store that they stand for."""

from __future__ import annotations

from typing import Final

from pipeline.store.backend import CURRENT, FINGERPRINT

MANIFESTS: Final = "manifests"
POINTERS: Final = "pointers"
RUNS: Final = "runs"
FINDINGS: Final = "findings"
WITHDRAWN: Final = "withdrawn"
"""Folder for manifests that are none any more: of damaged artifacts, and of those that nobody needed."""
_JSON: Final = ".json"


def manifest_name(key: str, fingerprint: str) -> str:
    """Where an artifact's manifest is."""
    return f"{MANIFESTS}/{key}/{fingerprint}{_JSON}"


def withdrawn_name(key: str, fingerprint: str) -> str:
    """Where a manifest goes that is none any more."""
    return f"{WITHDRAWN}/{key}/{fingerprint}{_JSON}"


def pointer_name(key: str, profile: str) -> str:
    """Where a profile's pointer is."""
    return f"{POINTERS}/{key}/{CURRENT}{profile}"


def artifact_of(name: str) -> tuple[str, str] | None:
    """Key and fingerprint of a manifest, or of a withdrawn one, by its object's name."""
    key, _, last = name.partition("/")[2].rpartition("/")
    fingerprint = last.removesuffix(_JSON)
    return (key, fingerprint) if key and last.endswith(_JSON) and FINGERPRINT.fullmatch(fingerprint) else None


def pointer_of(name: str) -> tuple[str, str] | None:
    """Key and profile of a pointer by its object's name."""
    key, _, last = name.partition("/")[2].rpartition("/")
    return (key, last.removeprefix(CURRENT)) if key and last.startswith(CURRENT) else None
