"""Has work go to an engine that is too small to be worth it; needs no package that tests alone need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

CHANGES: Final[dict[str, object]] = {
    "pipeline.curation.contamination.WORTH_BYTES": 0,
    "pipeline.curation.documents._worth_workers": lambda units: True,
    "pipeline.curation.duplicates.near_duplicates.WORTH_BYTES": 0,
    "pipeline.sharding.shuffle.two_passes._stay_in_page_cache": lambda *_: False,  # the first pass copies tokens
    "pipeline.tokenization.corpus_tokens.encode.WORTH_BYTES": 0,
}


def give_small_work_away(put: Callable[[str, object], object]) -> None:
    """put: sets an attribute by its dotted name, as `MonkeyPatch.setattr` does."""
    for name, value in CHANGES.items():
        put(name, value)
