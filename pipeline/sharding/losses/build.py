"""The asset `losses`: how hard each document is for a small model, in bits a byte.

In: token stores and `LossModel`, and the finished model that it names, if it does. Out: for each corpus a loss a
document, found by its id (`pipeline.sharding.beside`). Counts that a document is scored by have not seen it. Memory,
and disk until it is done: the model's tables, 16 bytes times `ngram` - 1 for each of its buckets; and a batch of a
store.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import offsets_of
from pipeline.base.canonical import canonical_hash
from pipeline.base.errors import ShardError
from pipeline.base.executor import Executor
from pipeline.base.files import remove_unfinished, whole_path
from pipeline.base.finished import finish, is_finished
from pipeline.base.ids import id64
from pipeline.base.progress import Progress
from pipeline.sharding.beside import copy_beside, write_beside
from pipeline.sharding.losses.ngrams import NgramModel, Tokens, halves_of
from pipeline.sharding.losses.trained import TrainedModel, tokens_read_by
from pipeline.sharding.settings import LossModel, ScheduleSettings
from pipeline.tokenization.corpus_tokens.store import StoreFile, TokenStore, describe, open_stores, read_batches
from trainer.data.shards import TokenizerRef

LOSSES_VERSION: Final = "1"
LOSS: Final = "loss"
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_DIGITS: Final = 4
_WORK: Final = "_work"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CorpusLosses:
    """The losses of a corpus, bits a byte. `quantiles` are of documents."""

    documents: int
    mean: float
    """Over bytes."""
    quantiles: dict[str, float]


@dataclass(frozen=True)
class LossesSummary:
    """What the documents take by a model that was learned from `tokens` tokens."""

    content_hash: str
    tokens: int
    corpora: dict[str, CorpusLosses]
    read_before: tuple[str, ...] = ()
    """Corpora of whose documents, as they are here, the finished model that scored them was trained."""


def build_losses(
    settings: LossModel,
    tokens: Mapping[str, Path],
    scored: set[str],
    out: Path,
    executor: Executor,
    model: Path | None = None,
) -> LossesSummary:
    """Score each document of the corpora `scored`, by the n-grams of the corpora that the settings name, of all by
    default, or by a finished model.

    Args:
        settings: the model of n-grams.
        tokens: token store of each corpus.
        scored: corpora whose documents get a loss.
        out: output folder; scored files in it are kept.
        executor: shares out the files. Never changes the result.
        model: folder of a trained model, which scores in place of n-grams.

    Raises:
        ShardError: a store is missing or damaged, or the model is of another tokenizer.
    """
    remove_unfinished(out)
    stores = open_stores(dict(tokens))
    tokenizer = next(iter(stores.values())).tokenizer
    work = out / _WORK
    work.mkdir(parents=True, exist_ok=True)
    if model is None:
        learned = [stores[name] for name in settings.corpora or sorted(stores)]
        known = sum(store.tokens for store in learned)
        if not is_finished(work / "contexts.npy"):
            _count(settings, learned, work)
            finish(*NgramModel.files(work))
    else:
        known = tokens_read_by(model, tokenizer)
    judge: type[NgramModel | TrainedModel] = NgramModel if model is None else TrainedModel
    folder = model or work
    tasks = [
        (file, tokenizer, judge, folder, judge.files(folder), _part(work, name, number))
        for name in sorted(scored)
        for number, file in enumerate(stores[name].files)
    ]
    missing = [task for task in tasks if not is_finished(task[-1])]
    worth = sum(stores[name].tokens for name in scored) >= judge.few
    progress = Progress(log, "losses: files scored", total=len(missing))
    for _ in executor.map(score_file, missing, ordered=False, worth=worth):
        progress.add(1, 0)
    hashes, corpora = {}, {}
    for name in sorted(scored):
        parts = [_part(work, name, number) for number in range(len(stores[name].files))]
        columns = [np.load(part, allow_pickle=False) for part in parts]
        scores = np.concatenate([np.empty(0, _ROW), *columns])
        hashes[name] = write_beside(losses_of(out, name), LOSS, scores["id"], scores["loss"])
        corpora[name] = _summary(scores)
    shutil.rmtree(work)
    return LossesSummary(canonical_hash(hashes), known, corpora)


def losses_of(folder: Path, corpus: str) -> Path:
    """Where the losses of a corpus are."""
    return folder / "documents" / corpus


def take_losses(settings: ScheduleSettings, losses: Path | None, out: Path) -> dict[str, str]:
    """Copy what a schedule needs of the losses beside it; their hashes by corpus, none where no stage asks.

    Raises `ShardError` where a stage does and there are none.
    """
    asked = {corpus for stage in settings.stages if stage.takes_losses for corpus in stage.mixture}
    if asked and losses is None:
        raise ShardError("schedule: a stage goes from easy to hard, and there are no losses of its documents")
    return {name: copy_beside(losses_of(losses, name), losses_of(out, name), LOSS) for name in sorted(asked) if losses}


_ROW: Final = np.dtype([("id", "<u8"), ("loss", "<f4"), ("bytes", "<u4")])


def score_file(
    file: StoreFile,
    tokenizer: TokenizerRef,
    judge: type[NgramModel | TrainedModel],
    folder: Path,
    files: tuple[Path, ...],
    out: Path,
) -> None:
    """Write what the documents of one file of a store take, `_ROW` [D], by the model in a folder.

    files: those of the model, which an argument has to name where they travel to another machine.
    """
    model = judge.read(folder, tokenizer.eot_id)
    rows = [np.empty(0, _ROW)]
    for batch, ids in _batches(file, tokenizer.dtype):
        sizes = describe(batch).sizes
        some = np.empty(len(ids), _ROW)
        some["id"], some["bytes"] = ids, sizes
        # rounded, since the last bits of a logarithm are the processor's
        some["loss"] = np.round(model.bits_of(_tokens(batch, ids)) / np.maximum(sizes, 1), judge.digits)
        rows.append(some)
    with whole_path(out) as unfinished, unfinished.open("wb") as written:
        np.save(written, np.concatenate(rows))
    finish(out)


def _part(work: Path, corpus: str, number: int) -> Path:
    return work / f"{corpus}-{number:05d}.npy"


def _count(settings: LossModel, stores: list[TokenStore], out: Path) -> None:
    tokenizer = stores[0].tokenizer
    model = NgramModel(settings.ngram, settings.bits, tokenizer.vocab_size, tokenizer.eot_id)
    progress = Progress(log, "losses: counted", total=sum(len(store.files) for store in stores), unit="Mtok")
    for store in stores:
        for file in store.files:
            for batch, ids in _batches(file, tokenizer.dtype):
                model.count(_tokens(batch, ids))
            progress.add(1, file.tokens)
    model.write(out)


def _batches(file: StoreFile, dtype: str) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    for batch in read_batches(file, dtype):
        if batch.num_rows:
            yield batch, id64(describe(batch).ids)


def _tokens(batch: pa.RecordBatch, ids: np.ndarray) -> Tokens:
    column = batch.column("tokens")
    offsets = offsets_of(column).astype(np.int64)
    values = column.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]].astype(np.int64)
    return Tokens(values, offsets - offsets[0], halves_of(ids))


def _summary(rows: np.ndarray) -> CorpusLosses:
    losses = rows["loss"].astype(np.float64)
    total = max(float(rows["bytes"].sum(dtype=np.int64)), 1.0)
    at = np.quantile(losses, QUANTILES) if len(losses) else np.zeros(len(QUANTILES))
    return CorpusLosses(
        documents=len(losses),
        mean=round(float((losses * rows["bytes"]).sum()) / total, _DIGITS),
        quantiles={f"{share:g}": round(float(value), _DIGITS) for share, value in zip(QUANTILES, at, strict=True)},
    )
