"""What a schedule will come to, before anything is built: the table behind `squeeze plan`.

In: `ScheduleSettings`, `ShardSettings` and what each corpus holds (from its `tokens.json`, or estimated from bytes of
text). Out: a row per epoch, stage and part, and a row of totals per epoch. Tokens are as asked for; documents, repeats
and disk are in proportion, as no text is looked at: `schedule.json` has the exact numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from pipeline.sharding.schedule.amounts import Part, epoch_amounts
from pipeline.sharding.settings import ScheduleSettings, ShardSettings
from pipeline.tokenization.corpus_tokens.store import open_store, scan
from trainer.data.shards import DTYPE_BYTES

TOTAL: Final = "total"
DOCUMENT_BYTES: Final = 26
"""Of a shard, for each document besides its tokens: id, source, byte length, list offset."""


@dataclass(frozen=True)
class ForecastRow:
    """What a stage takes of a part, or an epoch of all."""

    epoch: int
    stage: str
    source: str
    """The part's label; `total` for all of an epoch."""
    documents: int
    tokens: int
    share: float
    """Of the stage's tokens."""
    repeats: float | None
    repeats_so_far: float | None
    disk_bytes: int
    shards: int
    """Of the whole stage."""

    @property
    def is_total(self) -> bool:
        return self.source == TOTAL


class Holding(NamedTuple):
    """What there is of a part."""

    documents: int
    tokens: int


def holdings_of(settings: ScheduleSettings, tokens: Mapping[str, Path]) -> dict[Part, Holding]:
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


def forecast(
    settings: ScheduleSettings, shards: ShardSettings, holdings: Mapping[Part, Holding], dtype: str = "uint16"
) -> list[ForecastRow]:
    """A row per epoch, stage and part, and one that closes each epoch.

    Raises `ShardError` for a schedule that cannot be met.
    """
    rows: list[ForecastRow] = []
    repeats: dict[Part, float] = dict.fromkeys(holdings, 0.0)
    available = {part: holding.tokens for part, holding in holdings.items()}
    for epoch in range(1, settings.epochs + 1):
        rows_of_epoch: list[ForecastRow] = []
        shards_of_epoch = 0
        for stage, amounts in epoch_amounts(settings, epoch, available):
            size = sum(amounts.values())
            count = -(-size // shards.tokens_per_shard)
            shards_of_epoch += count
            for part, tokens in amounts.items():
                times = tokens / holdings[part].tokens
                repeats[part] += times
                documents = round(times * holdings[part].documents)
                disk = tokens * DTYPE_BYTES[dtype] + documents * DOCUMENT_BYTES
                amount = (documents, tokens, tokens / size, times, repeats[part], disk, count)
                rows_of_epoch.append(ForecastRow(epoch, stage.name, part.label, *amount))
        documents = sum(row.documents for row in rows_of_epoch)
        tokens = sum(row.tokens for row in rows_of_epoch)
        disk = sum(row.disk_bytes for row in rows_of_epoch)
        rows += rows_of_epoch
        rows.append(ForecastRow(epoch, "", TOTAL, documents, tokens, 1.0, None, None, disk, shards_of_epoch))
    return rows
