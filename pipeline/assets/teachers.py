"""The finished models that a profile's model learns from: inputs from elsewhere in the store (`training.teacher`).

In: names, each a profile whose current model is meant, or the fingerprint of a model, of which the first characters are
enough. Out: their artifacts, by the labels under which they enter the student's fingerprint and lineage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.assets.finished_models import finished_model
from pipeline.base.errors import SqueezeError
from pipeline.store import Artifact, Store

TEACHER: Final = "teacher/"


def teachers_in(store: Store, names: Sequence[str]) -> dict[str, Artifact]:
    """`teacher/1` and so on, in the order of the names. Raises StoreError for a name of no model, or of no other."""
    return {
        f"{TEACHER}{number}": finished_model(store, name, "training.teacher")
        for number, name in enumerate(names, start=1)
    }


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
