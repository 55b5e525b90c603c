"""Validation sets in the shards' format: the held-out documents of every corpus, a stage per corpus and language.

In: token stores and their `heldout` split. Out: a folder that `SequenceReader` reads like an epoch (its number is 0,
its mode `none`), and from which the trainer scores documents one by one while it trains. Documents are in the order of
their ids, so the bytes depend on what is held out and on nothing else.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.base.errors import ShardError
from pipeline.sharding.output import statistics
from pipeline.sharding.output.commit import EpochSummary, commit, summarize
from pipeline.sharding.output.rows import Rows, concat
from pipeline.sharding.output.writer import ShardResult, ShardWriter
from pipeline.sharding.settings import ShardSettings
from pipeline.sharding.shuffle.scatter import rows_of
from pipeline.tokenization.corpus_tokens.store import TokenStore, describe, open_stores, read_batches

VALIDATION_VERSION: Final = "1"


def build_validation(tokens: Mapping[str, Path], settings: ShardSettings, out: Path) -> EpochSummary:
    """Write the validation sets of all corpora; a stage is named `<corpus>/<language>`.

    Held-out text is small: a corpus's is held in memory. Raises `ShardError` where nothing is held out at all.
    """
    stores = open_stores(dict(tokens), "heldout")
    tokenizer = next(iter(stores.values())).tokenizer
    epoch: dict[str, Any] = {"epoch": 0, "seed": 0, "tokenizer": asdict(tokenizer), "stages": []}
    epoch["sources"] = {name: store.content_hash for name, store in stores.items()}
    results: dict[int, list[ShardResult]] = {}
    for corpus, store in stores.items():
        for lang, rows in _by_language(store, epoch).items():
            index = len(results)
            results[index] = _write(rows, index, tokenizer.dtype, len(stores), settings, out)
            parts = [{"source": corpus, "tokens": sum(r.entry.tokens for r in results[index])}]
            name = f"{corpus}/{lang or 'unknown'}"
            epoch["stages"].append({"index": index, "name": name, "tokens": parts[0]["tokens"], "parts": parts})
    if not results:
        raise ShardError(f"validation: none of {', '.join(stores)} holds documents out; raise the held-out share")
    manifest = commit(epoch, "none", None, results, out)
    return summarize(manifest, json.loads((out / statistics.NAME).read_bytes()))


def _by_language(store: TokenStore, epoch: Mapping[str, Any]) -> dict[str, Rows]:
    found: dict[str, list[Rows]] = {}
    for file in store.files:
        for batch in read_batches(file, store.tokenizer.dtype):
            if not batch.num_rows:
                continue
            documents = describe(batch)
            rows = rows_of(batch, epoch, store.corpus)
            for number, lang in enumerate(documents.lang_names):
                found.setdefault(lang, []).append(rows.take(np.flatnonzero(documents.langs == number)))
    return {lang: concat(found[lang]).sorted() for lang in sorted(found)}


def _write(rows: Rows, stage: int, dtype: str, sources: int, settings: ShardSettings, out: Path) -> list[ShardResult]:
    """A stage's shards, cut where documents begin, as an epoch's are."""
    lengths = rows.lengths(2 if dtype == "uint16" else 4)
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
