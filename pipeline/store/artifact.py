"""A finished artifact: what its manifest says, and the local folder with its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.base.errors import StoreError
from pipeline.store.backend import MANIFEST, Backend
from pipeline.store.manifest import Input, Manifest

S = TypeVar("S")


@dataclass(frozen=True)
class Artifact:
    """What the store hands out. `path` is the only way to its files, wherever the backend keeps them."""

    manifest: Manifest
    backend: Backend

    @property
    def path(self) -> Path:
        """The folder with its files, which are fetched where they are not on this machine yet."""
        return self.backend.folder(self.key, self.fingerprint)

    @property
    def place(self) -> Path:
        """Where that folder is, or would be: for people, and for what it is looked at alone if it is here."""
        return self.backend.place(self.key, self.fingerprint)

    @property
    def is_here(self) -> bool:
        """Whether its files are on this machine."""
        return (self.place / MANIFEST).exists()

    @property
    def glimpse(self) -> Path:
        """A folder with its small files, at least."""
        return self.backend.glimpse(self.key, self.fingerprint)

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

    def summary_as(self, kind: type[S]) -> S:
        """The summary as the dataclass that the function that built it returned. Raises StoreError where it is none."""
        return read_summary(kind, {"content_hash": self.content_hash, **self.summary}, self.key)

    def as_input(self, slice_hash: str | None = None) -> Input:
        """As the input of another artifact; `slice_hash` where only a part of it counts."""
        return Input(self.key, self.fingerprint, slice_hash or self.content_hash)

    def damage(self) -> str | None:
        """What a look at names and sizes finds wrong, or None. Contents are hashed by `verify`."""
        return self.backend.damage(self.manifest)


def read_summary(kind: type[S], facts: Mapping[str, Any], key: str) -> S:
    """The JSON values of a summary as its dataclass: whole numbers as keys, tuples and inner dataclasses included."""
    try:
        return TypeAdapter(kind).validate_python(facts)
    except ValidationError as error:
        raise StoreError(f"{key}: its summary is no {kind.__name__} ({error}); materialize it again") from error
