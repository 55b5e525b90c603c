"""What a model was trained on, for people who have to answer for it: from its lineage alone.

In: a model's artifact and its ancestry. Out: a `Provenance`: every corpus with its licence, its sources and its share
of the training tokens, and what was removed of it and why. Nothing is in it that is not in a manifest or a file of the
store, so it is as true of a model that was made a year ago; what an artifact does not say is empty, never guessed.

A licence is what the corpus's Croissant description said when it was built. A corpus of several sources has one.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import SqueezeError, StoreError
from pipeline.curation.selection import SelectionSummary
from pipeline.curation.summary import DocumentsSummary
from pipeline.sharding.schedule.build import ScheduleSummary
from pipeline.store import Artifact
from trainer.records import parse_json
from trainer.run.figures.summary import read_summary

UNKNOWN: Final = "not stated"
_CROISSANT: Final = "croissant.json"
_EPOCH: Final = "shards/epoch_"


@dataclass(frozen=True)
class Removed:
    """What a step took of a corpus."""

    step: str
    documents: int | None
    """None where the step takes bytes and no documents."""
    bytes: int


@dataclass(frozen=True)
class CorpusOrigin:
    """One corpus of a model."""

    name: str
    license: str
    """`UNKNOWN` where none was given."""
    sources: tuple[str, ...]
    """Package URLs, addresses of data sets, or files."""
    tokens: int
    """Training tokens, repeats included."""
    share: float
    """Of all training tokens."""
    documents: int
    """Kept ones."""
    bytes: int
    languages: Mapping[str, int]
    """Kept bytes."""
    read_at: str
    """When the sources were read, UTC."""
    masked: bool
    """Whether addresses of persons were masked."""
    masks: Mapping[str, int]
    """How many of each category constants stand for, held-out text included; empty of documents of before they were
    counted."""
    removed: tuple[Removed, ...]
    fingerprint: str
    """Of the selection."""
    selection_sha256: str
    """Of its `selection.parquet`."""
    kind: str = "files"
    """`hub`, `archive` or `files`: where its first source is."""


@dataclass(frozen=True)
class Provenance:
    """A model's training text."""

    model: str
    """Fingerprint."""
    built_at: str
    tokens: int
    corpora: tuple[CorpusOrigin, ...]
    """Those with the largest shares first; with a share of 0 those that are in no stage."""
    decontaminated: tuple[str, ...] = ()
    """Evaluation sets whose items were kept out."""
    parameters: int | None = None
    licenses: Mapping[str, float] = field(default_factory=dict)
    """Shares of the training tokens by licence."""


def provenance_of(model: Artifact, ancestry: Mapping[str, Artifact]) -> Provenance:
    """The provenance of a model. ancestry: all it came from, by fingerprint (`Store.ancestry`).

    Raises SqueezeError where the ancestry has no shards: such a model was not trained on this store's text.
    """
    tokens = _tokens(model, ancestry)
    if not tokens:
        raise SqueezeError(
            f"the model {model.fingerprint[:12]} came from no shards of the store, so nothing is known of its text: "
            "name a profile whose model was trained by `dagster job execute -j full_train`"
        )
    by_key = {artifact.key: artifact for artifact in ancestry.values()}
    total = sum(tokens.values())
    names = [key.removeprefix("corpus/") for key in sorted(by_key) if key.startswith("corpus/")]
    corpora = [_corpus(name, by_key, tokens[name], total) for name in names]
    corpora.sort(key=lambda corpus: (-corpus.tokens, corpus.name))
    licenses: Counter[str] = Counter()
    for corpus in corpora:
        licenses[corpus.license] += corpus.tokens
    contamination = by_key.get("contamination")
    tasks = contamination.manifest.identity.get("tasks", ()) if contamination else ()
    return Provenance(
        model=model.fingerprint,
        built_at=model.manifest.built.at,
        tokens=total,
        corpora=tuple(corpora),
        decontaminated=tuple(tasks),
        parameters=run.parameters.total if (run := read_summary(model.path)) is not None else None,
        licenses={name: count / total for name, count in licenses.most_common() if count},
    )


def _tokens(model: Artifact, ancestry: Mapping[str, Artifact]) -> Counter[str]:
    """Training tokens by corpus, over all epochs; each by the schedule that it was built from."""
    tokens: Counter[str] = Counter()
    for key, parent in model.manifest.inputs.items():
        shards = ancestry.get(parent.fingerprint) if key.startswith(_EPOCH) else None
        if shards is None:
            continue
        schedule = ancestry.get(shards.manifest.inputs["schedule"].fingerprint)
        if schedule is None:
            raise StoreError(f"the schedule of {key} is gone from the store: build the model again")
        for row in schedule.summary_as(ScheduleSummary).rows:
            if row.epoch == int(key.removeprefix(_EPOCH)):
                tokens[row.source.partition("/")[0]] += row.tokens
    return tokens


def _corpus(name: str, by_key: Mapping[str, Artifact], tokens: int, total: int) -> CorpusOrigin:
    corpus, documents = by_key[f"corpus/{name}"], by_key[f"documents/{name}"]
    selection, read = corpus.summary_as(SelectionSummary), documents.summary_as(DocumentsSummary)
    described = _croissant(corpus.path / _CROISSANT)
    identity = documents.manifest.identity
    return CorpusOrigin(
        name=name,
        license=described.get("license") or UNKNOWN,
        sources=tuple(described.get("isBasedOn") or ()),
        tokens=tokens,
        share=tokens / total,
        documents=selection.documents,
        bytes=selection.bytes,
        languages=selection.languages,
        read_at=documents.manifest.built.at,
        masks=read.masks,
        masked=bool(identity.get("normalizing", {}).get("mask_personal")),
        removed=(*_before_documents(read), *_after(selection)),
        fingerprint=corpus.fingerprint,
        selection_sha256=corpus.manifest.files["selection.parquet"].sha256,
        kind=_kind(identity),
    )


def _before_documents(summary: DocumentsSummary) -> list[Removed]:
    """What reading, cleaning and the quarantine took."""
    counts = summary.byte_counts
    if counts is None:
        return []
    cleaned = [Removed(step, None, size) for step, size in counts.removed.items() if size]
    set_aside = [
        Removed(f"set aside: {reason}", summary.quarantined.get(reason, 0), size)
        for reason, size in counts.quarantined.items()
    ]
    return cleaned + set_aside


def _after(summary: SelectionSummary) -> list[Removed]:
    """What the steps of the waterfall took."""
    steps = [step for step in summary.waterfall if step.removed_documents or step.removed_bytes]
    return [Removed(step.step, step.removed_documents, step.removed_bytes) for step in steps]


def _croissant(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        described = parse_json(path.read_bytes())
        if isinstance(described, dict):
            return described
    return {}


def _kind(identity: Mapping[str, Any]) -> str:
    sources = identity.get("sources") or [{}]
    return next((kind for kind in ("hub", "archive") if sources[0].get(kind)), "files")
