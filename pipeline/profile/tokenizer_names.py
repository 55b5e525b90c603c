"""What a profile says of tokenizers, held against their specifications.

In: a validated profile, and the mapping it was read from. Out: a mistake for each candidate that has no specification,
and for a `model.vocab_size` that somebody wrote and the chosen tokenizer would overrule. The size that a preset fills
in is nobody's word, and gives way to the tokenizer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.base.errors import TokenizerError
from pipeline.tokenization.settings import TokenizationSettings
from pipeline.tokenization.specs import folder_with, load_spec, specs_folders
from trainer.mistakes import Mistake


def mistakes_of_tokenizers(tokenizers: TokenizationSettings, written: Mapping[str, Any]) -> Iterator[Mistake]:
    """Every mistake. Raises TokenizerError for a specification that cannot be read."""
    try:
        folders = specs_folders(tokenizers.folder)
    except TokenizerError as error:
        yield Mistake(("tokenizers", "folder"), str(error))
        return
    found: dict[str, Path] = {}
    for position, name in enumerate(tokenizers.candidates):
        try:
            found[name] = folder_with(folders, name)
        except TokenizerError as error:
            yield Mistake(("tokenizers", "candidates", position), str(error))
    if len(found) < len(tokenizers.candidates):
        return
    possible = [tokenizers.select] if tokenizers.select in tokenizers.candidates else list(tokenizers.candidates)
    sizes = {name: getattr(load_spec(found[name], name), "vocab_size", None) for name in possible}
    model = written.get("model")
    given = model.get("vocab_size") if isinstance(model, Mapping) else None
    if given is not None and None not in sizes.values() and given not in sizes.values():
        rows = " or ".join(f"{size:,} ({name})" for name, size in sizes.items())
        yield Mistake(
            ("model", "vocab_size"),
            f"it is {given:,}, but the tokenizer decides, whose vocabulary has {rows} rows: set model.vocab_size to "
            "that, or choose another tokenizer with tokenizers.select",
        )
