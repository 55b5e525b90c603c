"""What the study's arms share: a tokenizer's token stores, the shards of a data set, and the held-out sample.

In: curated corpora and tokenizers. Out: folders that any number of arms read. An epoch that repeats documents is the
first epoch's plan under another number: the same documents, in that epoch's own order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pipeline.base.canonical import canonical_hash, text_hash
from pipeline.base.errors import StudyError
from pipeline.base.executor import Executor
from pipeline.curation.corpus import CuratedCorpus
from pipeline.curation.heldout import HeldoutDocument, heldout_documents, write_heldout_sample
from pipeline.sharding.epoch import build_epoch
from pipeline.sharding.schedule.build import build_schedule
from pipeline.sharding.schedule.schedule import Schedule
from pipeline.sharding.settings import ScheduleSettings, ShardSettings, StageSettings
from pipeline.study.settings import HeldoutSample, StudyData
from pipeline.tokenization.corpus_tokens.encode import encode_corpus

STUDY_TOKENS_VERSION: Final = "1"
STUDY_DATA_VERSION: Final = "1"
STUDY_HELDOUT_VERSION: Final = "1"
FINAL: Final = "final"
CURVE: Final = "curve"


@dataclass(frozen=True)
class TokensSummary:
    """The corpora under one tokenizer."""

    content_hash: str
    tokens: dict[str, int]
    """Training tokens by corpus."""
    bytes_per_token: dict[str, float]


@dataclass(frozen=True)
class DataSummary:
    """A data set: `epochs` are its shards' manifests relative to its folder, in the order they are trained on."""

    content_hash: str
    epochs: list[str]
    tokens: int
    """Of one epoch."""
    bytes: int
    """Of one epoch's text."""
    sources: dict[str, int]
    """Tokens of one epoch by corpus."""


@dataclass(frozen=True)
class HeldoutSummary:
    """The sample in numbers, by part (`final`, `curve`) and corpus."""

    content_hash: str
    documents: dict[str, dict[str, int]]
    bytes: dict[str, dict[str, int]]


def encode_corpora(
    corpora: Mapping[str, CuratedCorpus], tokenizer: Path, out: Path, executor: Executor
) -> TokensSummary:
    """Encode every corpus with one tokenizer into `out/<corpus>`."""
    summaries = {
        name: encode_corpus(name, corpus, tokenizer, _made(out / name), executor=executor)
        for name, corpus in corpora.items()
    }
    return TokensSummary(
        canonical_hash({name: summary.content_hash for name, summary in summaries.items()}),
        {name: summary.train.tokens for name, summary in summaries.items()},
        {name: summary.bytes_per_token for name, summary in summaries.items()},
    )


def build_data(
    data: StudyData,
    stages: Sequence[StageSettings],
    tokens: Mapping[str, Path],
    out: Path,
    executor: Executor,
    near_duplicates: Path | None = None,
    losses: Path | None = None,
) -> DataSummary:
    """Shuffle the epochs of a data set into `out/epoch_<n>`.

    Args:
        data: how much, how often, in which order.
        stages: the schedule's stages, the data set's own or the profile's.
        tokens: token store of each corpus.
        out: output folder; finished epochs in it are kept.
        executor: what maps the shuffle's parts.
        near_duplicates: folder of the clusters, where the data set repeats documents by theirs.
        losses: folder of the documents' losses, where a stage goes by them.

    Raises:
        ShardError: a corpus or losses that are missing, or a schedule that cannot be met.
    """
    schedule = ScheduleSettings(
        seed=data.seed,
        tokens_per_epoch=data.tokens,
        stages=tuple(stages),
        repeats_by_cluster=data.repeats_by_cluster,
    )
    mixed = {corpus for stage in stages for corpus in stage.mixture}
    used = {name: folder for name, folder in tokens.items() if name in mixed}
    build_schedule(schedule, used, out, near_duplicates, losses)
    first_plan = Schedule.read(out).epoch(1)
    shards = ShardSettings(
        mode="within_shard" if data.shuffle == "within_shard" else "global",
        tokens_per_shard=data.tokens_per_shard,
        tokens_per_batch=data.tokens_per_shard,
    )
    distinct = 1 if data.shuffle == "once" else data.epochs
    built = [
        build_epoch(replace(first_plan, epoch=epoch), used, shards, _made(out / f"epoch_{epoch:03d}"), executor, out)
        for epoch in range(1, distinct + 1)
    ]
    order = [1] * data.epochs if data.shuffle == "once" else list(range(1, data.epochs + 1))
    return DataSummary(
        canonical_hash([built[epoch - 1].content_hash for epoch in order]),
        [f"epoch_{epoch:03d}/shards.json" for epoch in order],
        built[0].tokens,
        built[0].bytes,
        {name: counts.tokens for name, counts in built[0].sources.items()},
    )


def sample_heldout(settings: HeldoutSample, heldout: Mapping[str, Path], out: Path) -> HeldoutSummary:
    """Write `out/<part>/<corpus>/heldout.parquet`: whole documents in the order of a keyed hash, as many as fit, none
    of which is in the sample that `settings.without` describes.

    Raises StudyError for a corpus of which no document fits.
    """
    hashes: list[tuple[str, str, list[str]]] = []
    documents: dict[str, dict[str, int]] = {FINAL: {}, CURVE: {}}
    sizes: dict[str, dict[str, int]] = {FINAL: {}, CURVE: {}}
    for corpus, most in sorted(settings.bytes.items()):
        documents_in_order = _apart_from(settings.without, corpus, _in_hash_order(heldout[corpus], settings.seed))
        for part, limit in ((FINAL, most), (CURVE, int(most * settings.curve_share))):
            chosen = _that_fit(documents_in_order, limit)
            if not chosen:
                raise StudyError(
                    f"study.heldout.bytes.{corpus}: none of its {len(documents_in_order)} held-out documents fits into "
                    f"{limit:,} bytes; raise it, or split the corpus's documents with split_bytes"
                )
            write_heldout_sample(chosen, out / part / corpus)
            documents[part][corpus] = len(chosen)
            sizes[part][corpus] = sum(document.size for document in chosen)
            hashes.append((part, corpus, [text_hash(document.text) for document in chosen]))
    return HeldoutSummary(canonical_hash(hashes), documents, sizes)


def _apart_from(
    sample: HeldoutSample | None, corpus: str, documents: Sequence[HeldoutDocument]
) -> list[HeldoutDocument]:
    """The documents of a corpus that are neither in another sample of it nor in what that one leaves out."""
    if sample is None:
        return list(documents)
    others = _apart_from(sample.without, corpus, documents)
    of_sample = sorted(others, key=_hash_order(sample.seed))
    taken = {document.doc_id for document in _that_fit(of_sample, sample.bytes.get(corpus, 0))}
    return [document for document in others if document.doc_id not in taken]


def _in_hash_order(heldout: Path, seed: int) -> list[HeldoutDocument]:
    return sorted(heldout_documents(heldout), key=_hash_order(seed))


def _hash_order(seed: int) -> Callable[[HeldoutDocument], bytes]:
    return lambda document: hashlib.sha256(f"{seed}|".encode() + document.doc_id).digest()


def _that_fit(documents: Sequence[HeldoutDocument], limit: int) -> list[HeldoutDocument]:
    chosen, left = [], limit
    for document in documents:
        if document.size <= left:
            chosen.append(document)
            left -= document.size
    return chosen


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
