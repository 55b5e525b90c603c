"""A data set's repository on the imitated hub: its commits, its branches and who may read it.

Files lie on disk; a commit is a mapping from paths in the repository to them. What `repo_info`, `tree` and `refs` of
the real hub say is said in its words, with the fields that its Python library reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""Of a repository that is made without saying another."""
LARGE = (".parquet", ".gz", ".zst", ".zip", ".arrow", ".bin", ".jsonl")
"""Endings of the files that lie with the content delivery network, as what git-lfs holds does."""
Files = Mapping[str, Path]


@dataclass
class Repository:
    """One data set. Tests change its fields while the server runs."""

    id: str
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    """Whether its terms have to be accepted: only `readers` of the server's may read it."""
    private: bool = False
    """Whether it does not seem to be there to anybody but `readers`."""
    disabled: bool = False
    """Whether the hub has taken it down."""

    def at(self, revision: str) -> tuple[str, Files] | None:
        """The commit that a branch, tag or commit names, and its files."""
        commit = self.branches.get(revision, revision)
        return (commit, self.commits[commit]) if commit in self.commits else None

    def move(self, files: Files, commit: str, branch: str = "main") -> None:
        """Put a new commit on a branch; the old one stays, under its name."""
        self.commits[commit] = dict(files)
        self.branches[branch] = commit

    def card(self, files: Files) -> dict[str, Any]:
        """The header of its README."""
        text = files["README.md"].read_text(encoding="utf-8") if "README.md" in files else ""
        parts = text.split("---\n")
        return dict(yaml.safe_load(parts[1]) or {}) if len(parts) > 2 else {}

    def info(self, commit: str, files: Files) -> dict[str, Any]:
        """What the hub says of a commit."""
        card = self.card(files)
        tags = [f"license:{card['license']}"] if "license" in card else []
        return {
            "_id": "6" * 24,
            "id": self.id,
            "author": self.id.partition("/")[0],
            "sha": commit,
            "lastModified": "2025-01-31T12:00:00.000Z",
            "createdAt": "2024-05-28T14:32:57.000Z",
            "private": self.private,
            "gated": "auto" if self.gated else False,
            "disabled": self.disabled,
            "tags": tags,
            "downloads": 1,
            "likes": 1,
            "cardData": card,
            "siblings": [{"rfilename": path} for path in sorted(files)],
        }

    def refs(self) -> dict[str, Any]:
        """Its branches."""
        named = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha} for name, sha in self.branches.items()
        ]
        return {"branches": named, "tags": [], "converts": []}


def tree(files: Files, folder: str, *, recursive: bool) -> list[dict[str, Any]] | None:
    """The entries of a folder, sorted, those of folders in it too where `recursive`; None where it has none."""
    prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
    inside = sorted(path for path in files if path.startswith(prefix))
    entries: dict[str, dict[str, Any]] = {}
    for path in inside:
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            name = prefix + "/".join(parts[:depth])
            entries[name] = {"type": "directory", "oid": _sha1(name), "size": 0, "path": name}
        if recursive or len(parts) == 1:
            entries[path] = entry(path, files[path])
    return [entries[name] for name in sorted(entries)] if inside or not prefix else None


def entry(path: str, file: Path) -> dict[str, Any]:
    """What the tree says of a file."""
    size = file.stat().st_size
    described: dict[str, Any] = {"type": "file", "oid": _sha1(path), "size": size, "path": path}
    if is_large(path):
        described["lfs"] = {"oid": etag(path, file), "size": size, "pointerSize": 135}
    return described


def is_large(path: str) -> bool:
    return path.lower().endswith(LARGE)


def etag(path: str, file: Path) -> str:
    """A name of a file's content: SHA-256 of large ones, as git-lfs has it (here of its name and size), else SHA-1."""
    said = f"{path}:{file.stat().st_size}"
    return hashlib.sha256(said.encode()).hexdigest() if is_large(path) else _sha1(said)


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()
