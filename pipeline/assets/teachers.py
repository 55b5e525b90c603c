"""The finished models that a profile's model learns from: inputs from elsewhere in the store (`training.teacher`).

In: names, each a profile whose current model is meant, or the fingerprint of a model, of which the first characters are
enough. Out: their artifacts, by the labels under which they enter the student's fingerprint and lineage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.base.errors import SqueezeError, StoreError
from pipeline.store import Artifact, Store

MODEL: Final = "model"
TEACHER: Final = "teacher/"
FINGERPRINT: Final = re.compile(r"[0-9a-f]{6,64}")


def teachers_in(store: Store, names: Sequence[str]) -> dict[str, Artifact]:
    """`teacher/1` and so on, in the order of the names. Raises StoreError for a name of no model, or of no other."""
    return {f"{TEACHER}{number}": _teacher(store, name) for number, name in enumerate(names, start=1)}


def taught_by(inputs: Mapping[str, Artifact]) -> list[Artifact]:
    """The teachers among the inputs of a build. Raises SqueezeError for one of another tokenizer than the student's."""
    teachers = [inputs[label] for label in inputs if label.startswith(TEACHER)]
    for teacher in teachers:
        theirs, ours = (item.content_hash for item in (teacher.manifest.inputs["tokenizer"], inputs["tokenizer"]))
        if theirs != ours:
            raise SqueezeError(
                f"training.teacher: {teacher.fingerprint[:12]} of the profile {teacher.manifest.built.profile} was "
                f"trained with the tokenizer {theirs[:12]}, this model's is {ours[:12]}: probabilities of other tokens "
                "teach nothing, so take a teacher of the same corpora and tokenizers"
            )
    return teachers


def _teacher(store: Store, name: str) -> Artifact:
    if name == store.profile:
        raise StoreError(
            f"training.teacher: {name} is this profile itself; name another one, or the fingerprint of a model"
        )
    current = store.find_current(MODEL, name)
    if current is not None:
        return current
    found = [item for item in store.artifacts(MODEL) if item.fingerprint.startswith(name)]
    if FINGERPRINT.fullmatch(name) and len(found) == 1:
        return found[0]
    if FINGERPRINT.fullmatch(name) and found:
        raise StoreError(f"training.teacher: {name} begins {len(found)} models' fingerprints; write more of it")
    there = sorted({profile for profile, key, item in store.pointers() if key == MODEL and item is not None})
    raise StoreError(
        f"training.teacher: the store has no model of {name}; it has those of {', '.join(there) or 'no profile'}: "
        "train it first, or write the fingerprint of a model, which `squeeze ls` shows"
    )
