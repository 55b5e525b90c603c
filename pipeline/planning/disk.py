"""What a profile fetches and writes, in bytes, by asset: for `squeeze plan`, and for preflight against what is free.

Estimates, from bytes of text: documents with their signals were 1.1 bytes a byte of text for the sample's short ones,
tokens are counted at 4 bytes of text each, shards as the forecast has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pipeline.base.errors import SqueezeError
from pipeline.planning.schedule import text_bytes
from pipeline.planning.vocabulary import vocabulary_rows
from pipeline.profile.profile import Profile
from pipeline.sharding.schedule.forecast import ForecastRow
from pipeline.store import Store
from trainer.data.shards import DTYPE_BYTES, dtype_for

if TYPE_CHECKING:
    from trainer.plan import TrainingPlan

DOCUMENTS: Final = 1.1
"""Bytes of documents and their signals a byte of text."""
BYTES_A_TOKEN: Final = 4


def known_text(profile: Profile, store: Store) -> dict[str, int]:
    """Bytes of text by corpus, of those whose size anything says."""
    sizes = {}
    for name in profile.corpora:
        try:
            sizes[name] = text_bytes(profile, name, store)
        except SqueezeError:
            continue
    return sizes


def to_fetch(profile: Profile, store: Store) -> dict[str, int]:
    """Bytes of text by corpus, of those that are neither files here nor in the store."""
    there = known_text(profile, store)
    return {
        name: there.get(name, 0)
        for name, corpus in profile.corpora.items()
        if store.find_current(f"documents/{name}") is None
        and not all(source.files and not any("://" in file for file in source.files) for source in corpus.sources)
    }


def to_write(
    profile: Profile, store: Store, rows: Sequence[ForecastRow], figures: TrainingPlan | None
) -> dict[str, int]:
    """Bytes by the key of the asset that writes them, whatever of it is there already."""
    itemsize = DTYPE_BYTES[dtype_for(vocabulary_rows(profile))]
    sizes = {}
    for name, text in known_text(profile, store).items():
        sizes[f"documents/{name}"] = int(text * DOCUMENTS)
        sizes[f"tokens/{name}"] = text // BYTES_A_TOKEN * itemsize
    for row in rows:
        if row.is_total:
            sizes[f"shards/epoch_{row.epoch:03d}"] = row.disk_bytes
    if figures is not None:
        kept = profile.training.keep_checkpoints + 2  # the best one, and the one that is being written
        sizes["model"] = figures.checkpoint_bytes * kept
        sizes["model_hf"] = figures.parameters.total * 4
    return sizes
