"""A finished artifact: what its manifest says, and the local folder with its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.store.backend import Backend
from pipeline.store.manifest import Input, Manifest


@dataclass(frozen=True)
class Artifact:
    """What the store hands out. `path` is the only way to its files, wherever the backend keeps them."""

    manifest: Manifest
    backend: Backend

    @property
    def path(self) -> Path:
        return self.backend.folder(self.key, self.fingerprint)

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
        return self.backend.damage(self.manifest)
