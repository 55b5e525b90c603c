"""How many rows the vocabulary of a planned model has: the tokenizer decides, not what a preset fills in."""

from __future__ import annotations

from pipeline.profile.profile import Profile
from pipeline.tokenization.specs import load_specs, specs_folders


def vocabulary_rows(profile: Profile) -> int:
    """Rows of the chosen tokenizer's vocabulary; the largest candidate's where a criterion is to choose.

    A specification that does not say its size (a published file) leaves the model's own number standing.
    """
    tokenizers = profile.tokenizers
    names = [tokenizers.select] if tokenizers.select in tokenizers.candidates else list(tokenizers.candidates)
    specs = load_specs(specs_folders(tokenizers.folder), names)
    sizes = {getattr(spec, "vocab_size", None) for spec in specs.values()}
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes) or profile.model.vocab_size in known:
        return profile.model.vocab_size
    return max(known)
