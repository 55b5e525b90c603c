"""Keys that profiles once had: each is reported with the place that took it over, not as unknown.

Nothing is read from the old place: a profile says one thing in one way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trainer.config import MOVED as MOVED_TRAINING

MOVED: Final[Mapping[str, str]] = {
    **{f"training.{old}": new for old, new in MOVED_TRAINING.items()},
    "corpora.*.sources.*.maximum_units": "corpora.*.sources.*.maximum_bytes",
}
"""Old place -> new place, as dotted paths from the profile's top; `trainer.mistakes.new_place` reads it."""
