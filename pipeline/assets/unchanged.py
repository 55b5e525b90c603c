"""Whether files of the user stayed as they were while an asset was made from them.

They are hashed first, as their hashes name the artifact, and read after that: a log that is appended to, or an editor
that saves in between, would be stored under the hash of what it was before. So they are hashed once more at the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.base.errors import SourceError


def require_unchanged(key: str, out: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise SourceError where a file is another than before, after removing what was made of it.

    before, now: the SHA-256 of each file, by a name for messages.
    """
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if not changed:
        return
    for item in out.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        else:
            item.unlink()
    named = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    raise SourceError(
        f"{key}: {named} changed while it was read, so what was made of it is not kept: run the same command again "
        "when nothing writes to it any more, or give a copy of it as the source"
    )
