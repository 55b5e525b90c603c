"""Which of a token store's documents a stage reads, how often, and by which sort keys.

In: a record batch of the store, the file that it is of and the stage's plan. Out: positions in the batch, one for each
copy, and their keys. Both depend on the document alone (its id, its language, what its order looks at), so any division
of the work comes to the same.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.base.ids import id64
from pipeline.sharding.beside import read_beside
from pipeline.sharding.keys import fractions, keys
from pipeline.sharding.schedule.copies import copies_of
from pipeline.sharding.schedule.schedule import EpochPlan, StagePlan
from pipeline.tokenization.corpus_tokens.store import Described, StoreFile, describe


def select(
    batch: pa.RecordBatch, file: StoreFile, corpus: str, epoch: EpochPlan, stage: StagePlan
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the documents that the stage selects, int64 [m], and their sort keys, uint64 [m]."""
    documents = describe(batch)
    ids = id64(documents.ids)
    fraction = fractions(ids, epoch.seed, corpus)
    first_copy, count = np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=np.int64)
    for plan in stage.parts_of(corpus):
        rows = slice(None) if plan.part.lang is None else _of_language(documents, plan.part.lang)
        first_copy[rows] = plan.start.passes + (fraction[rows] < plan.start.fraction)
        count[rows] = plan.end.passes + (fraction[rows] < plan.end.fraction) - first_copy[rows]
    if corpus in epoch.copies and file.beside is not None:
        each = copies_of(file.beside, ids)
        first_copy, count = first_copy * each, count * each
    chosen = np.repeat(np.arange(len(ids)), count)
    copies = np.arange(len(chosen)) - np.repeat(np.cumsum(count) - count, count) + first_copy[chosen]
    sort_keys = keys(ids[chosen], epoch.seed, epoch.epoch, stage.index, corpus, copies)
    if stage.order.beside and file.beside is not None:
        documents = documents._replace(beside=read_beside(file.beside, stage.order.beside, ids, np.nan))
    arranged = stage.order.arrange(sort_keys, documents, chosen)
    return chosen, ~arranged if stage.descending else arranged


def _of_language(documents: Described, lang: str) -> np.ndarray:
    number = documents.lang_names.index(lang) if lang in documents.lang_names else -1
    return documents.langs == number
