"""Which commit code is at, for what is recorded beside a result. No torch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def commit_of(file: Path, levels: int) -> str | None:
    """The commit of the checkout whose top lies `levels` folders above the file's; None where there is none.

    A checkout that merely holds the installed package, in a virtual environment or as files that it does not track, is
    another project's, and its commit would say nothing about this code.
    """
    top = file.parents[levels]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # set in a git hook

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=top, env=clean, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    root = git("rev-parse", "--show-toplevel")
    if root is None or Path(root).resolve() != top or git("ls-files", "--error-unmatch", str(file)) is None:
        return None
    commit = git("rev-parse", "HEAD")
    return f"{commit}+changes" if commit and git("status", "--porcelain", "--untracked-files=no") else commit
