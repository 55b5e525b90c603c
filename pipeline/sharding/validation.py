"""Validation sets in the shards' format: the held-out documents of every corpus, a stage per corpus and language.

In: token stores and their `heldout` split. Out: a folder that `SequenceReader` reads like an epoch (its number is 0,
its mode `none`), and from which the trainer scores documents one by one while it trains. Documents are in the order of
their ids, so the bytes depend on what is held out and on nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.base.canonical import canonical_hash
from pipeline.base.errors import ShardError
from pipeline.base.executor import Executor
from pipeline.sharding.output.commit import EpochSummary, WrittenEpoch, WrittenStage, commit, summarize
from pipeline.sharding.output.rows import concat, rows_of
from pipeline.sharding.output.writer import ShardResult, ShardWriter
from pipeline.sharding.settings import ShardSettings
from pipeline.tokenization.corpus_tokens.store import TokenStore, describe, open_stores, read_batches, scan
from trainer.data.shards import DTYPE_BYTES, TokenizerRef

VALIDATION_VERSION: Final = "1"


def build_validation(
    tokens: Mapping[str, Path], settings: ShardSettings, out: Path, executor: Executor
) -> EpochSummary:
    """Write the validation sets of all corpora; a stage is named `<corpus>/<language>`.

    Held-out text is small: that of a language of a corpus is held in memory. Raises `ShardError` where nothing is held
    out at all.
    """
    stores = open_stores(dict(tokens), "heldout")
    tokenizer = next(iter(stores.values())).tokenizer
    sets = [(corpus, lang) for corpus, store in stores.items() for lang in _languages(store)]
    if not sets:
        raise ShardError(f"validation: none of {', '.join(stores)} holds documents out; raise the held-out share")
    tasks = [
        (stores[corpus], lang, index, list(stores).index(corpus), len(stores), settings, out)
        for index, (corpus, lang) in enumerate(sets)
    ]
    worth = settings.worth_workers(sum(store.tokens for store in stores.values()))
    stages: list[WrittenStage] = []
    for (corpus, lang), shards in zip(sets, executor.map(write_set, tasks, worth=worth), strict=True):
        scheduled = {corpus: sum(shard.entry.tokens for shard in shards)}
        stages.append(WrittenStage(len(stages), f"{corpus}/{lang or 'unknown'}", scheduled, shards))
    hashes = {corpus: store.content_hash for corpus, store in stores.items()}
    schedule_hash = _schedule_hash(stages, hashes, tokenizer)
    manifest = commit(WrittenEpoch(0, 0, "none", tokenizer, hashes, schedule_hash, stages), None, out)
    return summarize(manifest, out)


def write_set(
    store: TokenStore, lang: str, stage: int, source_id: int, sources: int, settings: ShardSettings, out: Path
) -> list[ShardResult]:
    """Write one language's held-out documents as a stage's shards, cut where documents begin, as an epoch's are."""
    dtype = store.tokenizer.dtype
    batches = [batch for file in store.files for batch in read_batches(file, dtype) if batch.num_rows]
    of_language = []
    for batch in batches:
        documents = describe(batch)
        if lang in documents.lang_names:
            chosen = np.flatnonzero(documents.langs == documents.lang_names.index(lang))
            of_language.append(rows_of(batch, source_id, DTYPE_BYTES[dtype]).take(chosen))
    rows = concat(of_language).sorted()
    lengths = rows.lengths(DTYPE_BYTES[dtype])
    starts = np.cumsum(lengths) - lengths
    cuts = [0, *(np.flatnonzero(np.diff(starts // settings.tokens_per_shard)) + 1).tolist(), len(rows)]
    results = []
    for number, (first, last) in enumerate(itertools.pairwise(cuts)):
        name = f"stage_{stage}/shard_{number:05d}.arrow"
        writer = ShardWriter(out, name, dtype=dtype, sources=sources, tokens_per_batch=settings.tokens_per_batch)
        result = writer.write([(int(starts[first]), rows.slice(first, last))])
        if result:
            results.append(result)
    return results


def _languages(store: TokenStore) -> list[str]:
    return sorted({lang for documents in scan(store) for lang in documents.lang_names})


def _schedule_hash(stages: list[WrittenStage], corpora: Mapping[str, str], tokenizer: TokenizerRef) -> str:
    """What stands in the manifest in place of an epoch's plan: nothing is scheduled, so the sets and their sizes."""
    sets: list[dict[str, Any]] = []
    for stage in stages:
        parts = [{"source": corpus, "tokens": tokens} for corpus, tokens in stage.scheduled.items()]
        sets.append({"index": stage.index, "name": stage.name, "tokens": parts[0]["tokens"], "parts": parts})
    head = {"epoch": 0, "seed": 0, "tokenizer": asdict(tokenizer), "sources": dict(corpora)}
    return canonical_hash(head | {"stages": sets})
