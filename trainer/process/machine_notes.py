"""What was measured of this machine, kept in the user's cache folder so that it is measured once.

In: a kind of measurement and all that its numbers depend on. Out: a file, and the numbers in it. Whoever measures
decides what they depend on; without a folder to write to, everything is measured each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from trainer.files import write_json
from trainer.records import check, parse_json


def machine_folder(kind: str) -> Path:
    """Folder of what one kind of work found out on this machine; it may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "squeeze" / kind


def note_file(kind: str, depends_on: list[Any]) -> Path:
    """Where the numbers of a measurement are kept, whether they are there or not."""
    return machine_folder(kind) / f"{hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]}.json"


def noted(file: Path, names: Collection[str]) -> dict[str, float]:
    """Positive numbers of these names that were found before; none where there are none, or what is there is not
    that."""
    try:
        values = check(dict[str, float], parse_json(file.read_bytes()))
    except (OSError, ValueError):
        return {}
    return values if set(values) == set(names) and all(value > 0 for value in values.values()) else {}


def note(file: Path, values: Mapping[str, float]) -> None:
    """Keep the numbers, where there is a place for them."""
    with contextlib.suppress(OSError):
        write_json(file, dict(values))
