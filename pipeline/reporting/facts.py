"""What the report, the model card and a comparison of models are made from: plain facts out of artifacts.

In: a model's artifact, its ancestry, and the folders of its suites and scorecard. Out: one `Facts`, with nothing in
it that is not in a manifest or a file of the store; what an artifact does not say is left empty, never guessed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pipeline.base.errors import StoreError
from pipeline.curation.heldout import HeldoutSummary
from pipeline.curation.selection import SelectionSummary, WaterfallStep
from pipeline.curation.summary import DocumentsSummary
from pipeline.evaluation.results import SuiteResult
from pipeline.evaluation.scores.scorecard import Scorecard, read_scorecard
from pipeline.evaluation.suites.table import read_result
from pipeline.reporting.lineage import Lineage
from pipeline.sharding.schedule.build import ScheduleSummary
from pipeline.store import Artifact, Store
from pipeline.store.manifest import Provenance
from pipeline.tokenization.choosing.candidates import Group
from pipeline.tokenization.choosing.choice import ChoiceSummary
from pipeline.tokenization.choosing.comparison import ComparisonSummary
from trainer.records import parse_json
from trainer.run.figures.summary import RunSummary, read_summary
from trainer.run.folder import METRICS_FILE

MODEL: Final = "model"
SCORECARD: Final = "scorecard"
COMPARISON: Final = "tokenizer_comparison"
S = TypeVar("S")


@dataclass(frozen=True)
class Facts:
    """Everything known about one model."""

    name: str
    fingerprint: str
    settings: Mapping[str, Any]
    """`model` and `training` settings."""
    run: RunSummary | None
    """What the training run took; none where the model's folder does not say."""
    metrics: Sequence[Mapping[str, Any]] = ()
    """Lines of `metrics.jsonl`."""
    corpora: Mapping[str, Sequence[WaterfallStep]] = field(default_factory=dict)
    """By corpus, what each step of curation left."""
    masks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By corpus, how often what points at a person is masked in its text, by category."""
    heldout: Mapping[str, HeldoutSummary] = field(default_factory=dict)
    stages: Sequence[tuple[str, Mapping[str, float]]] = ()
    """Stages in the order they are read, with the tokens of each source."""
    tokenizers: Sequence[Mapping[str, Any]] = ()
    """Each tokenizer's bytes a token by corpus."""
    tokenizer: str | None = None
    """The chosen one."""
    suites: Mapping[str, SuiteResult] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    """Where each suite's items are kept."""
    scorecard: Scorecard | None = None
    lineage: Sequence[Lineage] = ()
    built: Provenance | None = None
    """When, by which code and with which libraries the model was made."""


def facts_of(store: Store, model: Artifact, name: str | None = None, *, profile: str | None = None) -> Facts:
    """Facts about a model of the store with what has been evaluated of it.

    Args:
        profile: whose evaluation is meant; none: the store's. Another profile's suites of the same model, or those of
            settings that it has no more, are not its own.
    """
    results = evaluated(store, model, profile or store.profile)
    suites = {key.removeprefix("eval/"): item.path for key, item in results.items() if key.startswith("eval/")}
    card = results.get(SCORECARD)
    ancestry = store.ancestry(model)
    return collect(
        *(model, ancestry),
        name=name or store.profile,
        suites=dict(sorted(suites.items())),
        scorecard=card.path if card else None,
        comparison=_newest_comparison(store, ancestry),
    )


def _newest_comparison(store: Store, ancestry: Mapping[str, Artifact]) -> Artifact | None:
    """The last comparison that a tokenizer took part in from which a model came."""

    def with_its_own(comparison: Artifact) -> bool:
        candidates = (used for key, used in comparison.manifest.inputs.items() if key.startswith("tokenizer/"))
        return any(used.fingerprint in ancestry for used in candidates)

    there = [comparison for comparison in store.artifacts(COMPARISON) if with_its_own(comparison)]
    return max(there, key=lambda comparison: comparison.manifest.built.at, default=None)


def evaluated(store: Store, model: Artifact, profile: str) -> dict[str, Artifact]:
    """Results of suites and the scorecard of a model, by key: those that are current for the profile; where none of
    them are of this model, those of the newest scorecard that the profile had of it."""

    def of_model(item: Artifact | None) -> bool:
        return item is not None and MODEL in item.manifest.inputs and made_from(item, model)

    current = {key: item for _, key, item in store.pointers(profile) if item and of_model(item)}
    results = {key: item for key, item in current.items() if key == SCORECARD or key.startswith("eval/")}
    if results:
        return results
    own = [item for item in store.artifacts() if of_model(item) and item.manifest.built.profile == profile]
    own.sort(key=lambda item: item.manifest.built.at)
    newest = {item.key: item for item in own if item.key == SCORECARD or item.key.startswith("eval/")}
    if SCORECARD in newest:
        parents = newest[SCORECARD].manifest.inputs.values()
        suites = {parent.key: store.get(parent.key, parent.fingerprint) for parent in parents if parent.key != MODEL}
        return {SCORECARD: newest[SCORECARD], **{key: item for key, item in suites.items() if item is not None}}
    return newest


def made_from(item: Artifact, model: Artifact) -> bool:
    """Whether an artifact was made from this model."""
    return item.manifest.inputs[MODEL].fingerprint == model.fingerprint


def collect(
    model: Artifact,
    ancestry: Mapping[str, Artifact],
    *,
    name: str = "model",
    suites: Mapping[str, Path] | None = None,
    scorecard: Path | None = None,
    comparison: Artifact | None = None,
) -> Facts:
    """Facts about a model.

    Args:
        ancestry: all it came from, by fingerprint (`Store.ancestry`).
        name: what people call it.
        suites: folder of each finished suite.
        scorecard: its folder, where there is one.
        comparison: of tokenizers, where the model does not come from it.
    """
    by_key: dict[str, Artifact] = {}
    for artifact in ancestry.values():
        by_key.setdefault(artifact.key, artifact)
    selections = _summaries(by_key, "corpus/", SelectionSummary)
    compared = _summary(by_key.get(COMPARISON, comparison), ComparisonSummary)
    choice = _summary(by_key.get("tokenizer"), ChoiceSummary)
    return Facts(
        name=name,
        fingerprint=model.fingerprint,
        settings=dict(model.manifest.identity),
        run=read_summary(model.path),
        metrics=metrics_rows(model.path / METRICS_FILE),
        corpora={name: summary.waterfall for name, summary in selections.items()},
        masks={name: summary.masks for name, summary in _summaries(by_key, "documents/", DocumentsSummary).items()},
        heldout=_summaries(by_key, "heldout/", HeldoutSummary),
        stages=_stages(model, ancestry),
        tokenizers=_tokenizers(compared.groups) if compared else (),
        tokenizer=choice.name if choice else None,
        suites={suite: read_result(folder) for suite, folder in (suites or {}).items()},
        folders=dict(suites or {}),
        scorecard=read_scorecard(scorecard) if scorecard is not None else None,
        built=model.manifest.built,
        lineage=[
            Lineage(
                *(item.key, item.fingerprint, item.content_hash, item.manifest.built.at),
                tuple((parent.key, parent.fingerprint) for parent in item.manifest.inputs.values()),
            )
            for item in ancestry.values()
        ],
    )


def _summary(artifact: Artifact | None, kind: type[S]) -> S | None:
    """What an artifact says; none where there is no such artifact, or it is of a version that said other things."""
    if artifact is not None:
        with contextlib.suppress(StoreError):
            return artifact.summary_as(kind)
    return None


def _summaries(artifacts: Mapping[str, Artifact], folder: str, kind: type[S]) -> dict[str, S]:
    """What the artifacts of a folder of keys say, by their own name."""
    return {
        key.removeprefix(folder): summary
        for key, artifact in sorted(artifacts.items())
        if key.startswith(folder) and (summary := _summary(artifact, kind)) is not None
    }


def _stages(model: Artifact, ancestry: Mapping[str, Artifact]) -> list[tuple[str, dict[str, float]]]:
    """What each epoch of the model read. An epoch that was reused has the schedule it was built from, which may be an
    earlier one, with fewer epochs, than that of the epochs after it."""
    stages: dict[tuple[int, str], dict[str, float]] = {}
    for shards in sorted(key for key in model.manifest.inputs if key.startswith("shards/epoch_")):
        epoch = ancestry.get(model.manifest.inputs[shards].fingerprint)
        parent = epoch and ancestry.get(epoch.manifest.inputs["schedule"].fingerprint)
        schedule = _summary(parent, ScheduleSummary)
        for row in schedule.rows if schedule else ():
            if row.epoch == int(shards.rpartition("_")[2]):
                amounts = stages.setdefault((row.epoch, row.stage), {})
                amounts[row.source] = amounts.get(row.source, 0) + row.tokens
    return [(f"epoch {epoch} · {stage.replace('_', ' ')}", amounts) for (epoch, stage), amounts in stages.items()]


def _tokenizers(groups: Sequence[Group]) -> list[dict[str, Any]]:
    languages: dict[str, set[str]] = {}
    for group in groups:
        languages.setdefault(group.corpus, set()).add(group.lang)
    rows: dict[str, dict[str, float]] = {}
    for group in groups:
        name = f"{group.corpus} {group.lang}" if len(languages[group.corpus]) > 1 else group.corpus
        rows.setdefault(group.tokenizer, {})[name] = group.bytes_per_token
    return [{"name": name, "bytes_per_token": values} for name, values in rows.items()]


def metrics_rows(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics file; the one being written is left out."""
    rows = []
    with contextlib.suppress(FileNotFoundError):
        for line in file.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                row = parse_json(line, finite=False)
                if isinstance(row, dict):
                    rows.append(row)
    return rows
