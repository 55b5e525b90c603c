"""Finished models that a profile names as an input from elsewhere in the store: to learn from, or to be judged by."""

from __future__ import annotations

import re
from typing import Final

from pipeline.base.errors import StoreError
from pipeline.store import Artifact, Store

MODEL: Final = "model"
FINGERPRINT: Final = re.compile(r"[0-9a-f]{6,64}")


def finished_model(store: Store, name: str, setting: str) -> Artifact:
    """The current model of another profile, or the model of a fingerprint, of which the first characters are enough.

    setting: where the profile names it, for errors. Raises StoreError for a name of no model, or of no other than this
    profile's own, which would be made of itself.
    """
    if name == store.profile:
        raise StoreError(f"{setting}: {name} is this profile itself; name another one, or the fingerprint of a model")
    current = store.find_current(MODEL, name)
    if current is not None:
        return current
    found = [item for item in store.artifacts(MODEL) if item.fingerprint.startswith(name)]
    if FINGERPRINT.fullmatch(name) and len(found) == 1:
        return found[0]
    if FINGERPRINT.fullmatch(name) and found:
        raise StoreError(f"{setting}: {name} begins {len(found)} models' fingerprints; write more of it")
    there = sorted({profile for profile, key, item in store.pointers() if key == MODEL and item is not None})
    raise StoreError(
        f"{setting}: the store has no model of {name}; it has those of {', '.join(there) or 'no profile'}: "
        "train it first, or write the fingerprint of a model, which `squeeze ls` shows"
    )
