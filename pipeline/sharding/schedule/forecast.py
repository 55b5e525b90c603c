"""What a schedule will come to, before anything is built: the table behind `squeeze plan`.

In: `ScheduleSettings`, `ShardSettings` and what each corpus holds (from its `tokens.json`, or estimated from bytes of
text). Out: a row per epoch, stage and part, and a row of totals per epoch. Tokens are as asked for; documents, repeats
and disk are in proportion, as no text is looked at: `schedule.json` has the exact numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.sharding.schedule.amounts import Part, epoch_amounts
from pipeline.sharding.settings import ScheduleSettings, ShardSettings
from pipeline.tokenization.corpus_tokens.store import open_store, scan
from trainer.data.shards import DTYPE_BYTES

DOCUMENT_BYTES = 26
"""Of a shard, for each document besides its tokens: id, source, byte length, list offset."""


class Holding(NamedTuple):
    """What there is of a part."""

    documents: int
    tokens: int


def holdings(settings: ScheduleSettings, tokens: Mapping[str, Path]) -> dict[Part, Holding]:
    """What token stores hold; languages are counted only where `language_temperature` balances them."""
    result: dict[Part, Holding] = {}
    for corpus, folder in tokens.items():
        store = open_store(folder)
        if corpus not in settings.language_temperature:
            result[Part(corpus, None)] = Holding(store.documents, store.tokens)
            continue
        for batch in scan(store):
            for number, lang in enumerate(batch.lang_names):
                lengths = batch.lengths[batch.langs == number]
                before = result.get(Part(corpus, lang), Holding(0, 0))
                result[Part(corpus, lang)] = Holding(
                    before.documents + len(lengths), before.tokens + int(lengths.sum())
                )
    return result


def estimated_holdings(
    sizes: Mapping[str, int], bytes_per_token: float = 4.0, mean_tokens: int = 1000
) -> dict[Part, Holding]:
    """What corpora of `sizes` bytes of text will hold, roughly, before they are tokenized."""
    counts = {corpus: int(size / bytes_per_token) for corpus, size in sizes.items()}
    return {Part(corpus, None): Holding(-(-count // mean_tokens), count) for corpus, count in counts.items()}


def plan_rows(
    settings: ScheduleSettings, shards: ShardSettings, held: Mapping[Part, Holding], dtype: str = "uint16"
) -> list[dict[str, Any]]:
    """Rows for a table: epoch, stage, source, documents, tokens, share, repeats (and so far), disk, shards.

    A row with source `total` closes each epoch. Raises `ShardError` for a schedule that cannot be met.
    """
    rows: list[dict[str, Any]] = []
    repeats: dict[Part, float] = dict.fromkeys(held, 0.0)
    available = {part: holding.tokens for part, holding in held.items()}
    for epoch in range(1, settings.epochs + 1):
        total = np.zeros(4, dtype=np.int64)
        for stage, amounts in epoch_amounts(settings, epoch, available):
            size = sum(amounts.values())
            count = -(-size // shards.tokens_per_shard)
            total[3] += count
            for part, tokens in amounts.items():
                times = tokens / held[part].tokens
                repeats[part] += times
                documents = round(times * held[part].documents)
                disk = tokens * DTYPE_BYTES[dtype] + documents * DOCUMENT_BYTES
                total[:3] += (documents, tokens, disk)
                numbers = {"documents": documents, "tokens": tokens, "share": tokens / size, "repeats": times}
                more = {"repeats_so_far": repeats[part], "disk_bytes": disk, "shards": count}
                rows.append({"epoch": epoch, "stage": stage.name, "source": part.label} | numbers | more)
        documents, tokens, disk, count = (int(value) for value in total)
        head: dict[str, Any] = {"epoch": epoch, "stage": "", "source": "total", "documents": documents}
        head |= {"tokens": tokens, "share": 1.0, "repeats": None, "repeats_so_far": None}
        rows.append(head | {"disk_bytes": disk, "shards": count})
    return rows
