"""What an artifact is made by and what comes of it: the terms in which assets and the store speak."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.store.artifact import Artifact
from pipeline.store.fingerprint import fingerprint_of
from pipeline.store.manifest import Input


@dataclass(frozen=True)
class Built:
    """What an asset's function hands back: the hash of its logical content, and what it found out, as JSON values."""

    content_hash: str
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """An artifact that is there now, and how it came to be there."""

    artifact: Artifact
    reused: bool
    reason: str
    """Why it was built, or which run built what is reused."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides an artifact, and the fingerprint of it all."""

    key: str
    code_version: str
    identity: Mapping[str, Any]
    inputs: Mapping[str, Input]

    @property
    def fingerprint(self) -> str:
        hashes = {label: item.content_hash for label, item in self.inputs.items()}
        return fingerprint_of(self.key, self.code_version, self.identity, hashes)


def lineage_of(inputs: Mapping[str, Input], ancestors: Iterable[Artifact]) -> str:
    """The flattened ancestry of the inputs as JSON: every settings value and hash behind an artifact."""
    rows = {
        item.fingerprint: {
            "key": item.key,
            "content_hash": item.content_hash,
            "code_version": item.manifest.code_version,
            "identity": item.manifest.identity,
            "inputs": {label: parent.fingerprint for label, parent in item.manifest.inputs.items()},
            "built": dataclasses.asdict(item.manifest.built),
        }
        for item in sorted(ancestors, key=lambda item: (item.key, item.fingerprint))
    }
    parents = {label: item.fingerprint for label, item in inputs.items()}
    return json.dumps({"inputs": parents, "artifacts": rows}, indent=1, ensure_ascii=False)
