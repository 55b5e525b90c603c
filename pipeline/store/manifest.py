"""The record beside every artifact: what it is, what it came from, and the hash of each of its files.

A manifest is written last, so a folder that has one is complete. `summary` holds what the stage found out (counts,
tables), kept here so that a reused artifact shows the same in the UI as a fresh one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import StoreError

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"


@dataclass(frozen=True)
class Input:
    """An artifact that another was built from, or that part of it whose hash `content_hash` is."""

    key: str
    fingerprint: str
    content_hash: str


@dataclass(frozen=True)
class FileRecord:
    """A file of an artifact: its size in bytes and its SHA-256, in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """How an artifact came to be. It never enters a fingerprint."""

    at: str
    """UTC time of the commit, ISO 8601."""
    seconds: float
    profile: str
    run_id: str | None
    reason: str
    git_commit: str | None
    libraries: Mapping[str, str]
    runtime: Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """Everything the store knows of one artifact."""

    key: str
    fingerprint: str
    code_version: str
    identity: Mapping[str, Any]
    inputs: Mapping[str, Input]
    content_hash: str
    files: Mapping[str, FileRecord]
    summary: Mapping[str, Any]
    built: Provenance
    format: int = field(default=FORMAT)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(record.bytes for record in self.files.values())

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest file. Raises StoreError when it is damaged or of a newer format."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path}: this manifest cannot be read ({error}); remove its folder and build again"
            ) from error
        found = raw.get("format") if isinstance(raw, dict) else None
        if isinstance(found, int) and found > FORMAT:
            raise StoreError(
                f"{path}: written by a newer version of squeeze (format {found}; this one reads up to {FORMAT}); "
                "upgrade squeeze-gpt, or point SQUEEZE_HOME at another folder"
            )
        try:
            raw["inputs"] = {name: Input(**item) for name, item in raw["inputs"].items()}
            raw["files"] = {name: FileRecord(**item) for name, item in raw["files"].items()}
            raw["built"] = Provenance(**raw["built"])
            return cls(**raw)
        except (TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"{path}: not a manifest of this store ({error}); remove its folder and build again"
            ) from error


@dataclass(frozen=True)
class Artifact:
    """A finished folder of the store."""

    path: Path
    manifest: Manifest

    @property
    def key(self) -> str:
        return self.manifest.key

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def content_hash(self) -> str:
        return self.manifest.content_hash

    @property
    def summary(self) -> Mapping[str, Any]:
        return self.manifest.summary

    def as_input(self, slice_hash: str | None = None) -> Input:
        """As the input of another artifact; `slice_hash` where only a part of it counts."""
        return Input(self.key, self.fingerprint, slice_hash or self.content_hash)

    def damage(self) -> str | None:
        """What a look at names and sizes finds wrong, or None. Contents are hashed by `verify`."""
        for name, record in self.manifest.files.items():
            file = self.path / name
            if not file.is_file():
                return f"the file {file} is missing"
            if file.stat().st_size != record.bytes:
                return f"the file {file} has {file.stat().st_size:,} bytes instead of {record.bytes:,}"
        return None
