"""Group `evaluation`: one asset per suite, and the scorecard that puts their scores beside everybody else's."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.metadata import chart, table
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.assets.tokenization import corpus_inputs
from pipeline.base.errors import EvaluationError
from pipeline.base.numbers import with_error
from pipeline.curation.selection import iter_selected
from pipeline.evaluation.lm_eval.item_texts import check_items
from pipeline.evaluation.lm_eval.training_items import TRAINING_ITEMS_VERSION, WhileTraining, build_training_items
from pipeline.evaluation.loading import usable_device
from pipeline.evaluation.results import SuiteResult
from pipeline.evaluation.scores.scorecard import SCORECARD_VERSION, Earlier, Row, build_scorecard, read_scorecard
from pipeline.evaluation.suites.length import LengthDetails
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings, run_suite
from pipeline.evaluation.suites.table import read_result
from pipeline.profile.profile import Profile
from pipeline.reporting.card import model_card
from pipeline.reporting.facts import collect
from pipeline.reporting.html import report_html
from pipeline.reporting.scores import plottable, suite_rows
from pipeline.store import Artifact, Store

GROUP: Final = "evaluation"
TRAINING_ITEMS: Final = "training_items"
REPORT_VERSION: Final = "2"
REPORT_FILE: Final = "report.html"
CARD_FILE: Final = "README.md"
EARLIER_MODELS: Final = 4
"""Most earlier models that stand beside a score: the latest that were scored by one of the same suites."""


def stored_assets(profile: Profile) -> list[StoredAsset]:
    """An asset per suite, the scorecard over them, and the report.

    Raises EvaluationError for a task that lm-eval or the archive does not have: before hours go into the model.
    """
    suites = profile.evaluation.suites
    _check_tasks(profile)
    while_training = items_asset(
        profile,
        profile.evaluation.while_training,
        key=TRAINING_ITEMS,
        group=GROUP,
        tokenizer="tokenizer",
        description="Multiple-choice items as token ids, which the trainer scores while it trains.",
    )
    return [
        *([while_training] if profile.evaluation.while_training.tasks else []),
        *(_suite(profile, name, suite) for name, suite in suites.items()),
        StoredAsset(
            key="scorecard",
            group=GROUP,
            description="Every score beside chance, compressors, earlier models and published baselines, with its "
            "lineage.",
            version=SCORECARD_VERSION,
            settings={},
            inputs=["model", *(f"eval/{name}" for name in suites)],
            make=_scorecard,
            metadata=_scorecard_metadata,
            pictures=_scorecard_pictures,
        ),
        StoredAsset(
            key="report",
            group=GROUP,
            description="One self-contained HTML page: what was trained on what, cost, curves, scores, lineage; and "
            "the model card.",
            version=REPORT_VERSION,
            settings={"name": profile.name},
            inputs=["model", "scorecard", *(f"eval/{name}" for name in suites)],
            make=lambda build: _report(build, profile.name),
            metadata=_report_metadata,
            kinds=frozenset({"html"}),
        ),
    ]


def _check_tasks(profile: Profile) -> None:
    named: dict[str, SuiteSettings | WhileTraining] = {"while_training": profile.evaluation.while_training}
    if profile.study is not None:
        named["study.benchmarks"] = profile.study.benchmarks
    named |= {f"suite {name}": suite for name, suite in profile.evaluation.suites.items()}
    check_items(profile.curation.decontaminate_against, profile.evaluation.archive)
    for where, asked in named.items():
        try:
            asked.check()
        except EvaluationError as error:
            raise EvaluationError(f"{where}: {error}") from error


def items_asset(
    profile: Profile, asked: WhileTraining, *, key: str, group: str, tokenizer: str, description: str
) -> StoredAsset:
    """Tasks' items as ids of the tokenizer that the asset `tokenizer` holds."""
    archive, context = profile.evaluation.archive, profile.model.context

    def make(build: Build) -> Any:
        return build_training_items(
            build.path(tokenizer), asked, archive, context=context, cache=build.store.cache, out=build.out
        )

    return StoredAsset(
        key=key,
        group=group,
        description=description,
        version=TRAINING_ITEMS_VERSION,
        settings={
            "items": asked,
            "context": context,
            **({"archive": archive} if asked.data == "archive" else {}),
        },
        inputs=[tokenizer],
        make=make,
        metadata=lambda artifact: {"tasks": table(artifact.summary["tasks"])},
        kinds=frozenset({"json"}),
    )


def _suite(profile: Profile, name: str, suite: SuiteSettings) -> StoredAsset:
    evaluation = profile.evaluation
    keys = [key for corpus in profile.corpora for key in corpus_inputs(corpus)]
    heldout = [key for key in keys if suite.needs_heldout and key.startswith("heldout/")]

    def make(build: Build) -> SuiteResult:
        inputs = SuiteInputs(
            heldout=build.paths("heldout"),
            training=_training_text(build, profile) if suite.needs_training_text else {},
            archive=evaluation.archive,
            cache=build.store.cache,
        )
        check_tokenizer(build)
        return run_suite(
            *(suite, build.path("model"), build.path("tokenizer"), inputs, build.out),
            weights=evaluation.weights,
            device=usable_device(profile.training.device),
        )

    return StoredAsset(
        key=f"eval/{name}",
        group=GROUP,
        description=suite.description,
        version=suite.version,
        settings=evaluation.identity_of_suite(suite),
        override=lambda settings, _: settings | suite.local_files(),
        inputs=["model", "tokenizer", *(keys if suite.needs_training_text else heldout)],
        make=make,
        metadata=_suite_metadata,
        pictures=_suite_pictures,
    )


def check_tokenizer(build: Build) -> None:
    """Raise EvaluationError where the tokenizer is no longer the one the model was trained with."""
    trained, now = (
        build.inputs["model"].manifest.inputs["tokenizer"].content_hash,
        build.inputs["tokenizer"].content_hash,
    )
    if trained != now:
        raise EvaluationError(
            f"the model was trained with the tokenizer {trained[:12]}, the profile's is {now[:12]}: materialize the "
            "shards and the model again (`dagster job execute -j full_train`), or undo the tokenizer's change"
        )


def _training_text(build: Build, profile: Profile) -> dict[str, Callable[[], Iterator[tuple[str, str]]]]:
    def reader(corpus: str) -> Callable[[], Iterator[tuple[str, str]]]:
        def read() -> Iterator[tuple[str, str]]:
            places = (build.path(f"documents/{corpus}"), build.path(f"corpus/{corpus}"))
            for batch in iter_selected(*places, columns=("text", "lang")):
                yield from zip(batch.column("text").to_pylist(), batch.column("lang").to_pylist(), strict=True)

        return read

    return {corpus: reader(corpus) for corpus in profile.corpora}


def _scorecard(build: Build) -> Any:
    ancestors: dict[str, Artifact] = {}
    for item in build.inputs.values():
        ancestors |= build.store.ancestry(item)
    keys = Counter(item.key for item in ancestors.values())
    # an ancestry may hold several artifacts of a key, such as the schedules of a reused and of a new epoch
    lineage = {
        item.key if keys[item.key] == 1 else f"{item.key} {item.fingerprint[:8]}": {
            "fingerprint": item.fingerprint,
            "content_hash": item.content_hash,
        }
        for item in sorted(ancestors.values(), key=lambda item: (item.key, item.fingerprint))
    }
    model = build.inputs["model"]
    earlier = earlier_models(build.store, model, list(build.paths("eval")))
    return build_scorecard(build.paths("eval"), lineage, build.out, earlier=earlier, model=model.summary["run"])


def earlier_models(store: Store, model: Artifact, suites: Sequence[str]) -> dict[str, Earlier]:
    """Models of the store that were trained before this one and scored by any of these suites, latest first.

    Looked up when a scorecard is built, and no input of it: training another model rebuilds no scorecard.
    """
    found: dict[str, tuple[Artifact, dict[str, Artifact]]] = {}
    for suite in suites:
        for result in sorted(store.artifacts(f"eval/{suite}"), key=lambda item: item.manifest.built.at):
            parent = result.manifest.inputs["model"]
            other = store.get(parent.key, parent.fingerprint)
            if other is None or other.content_hash == model.content_hash:
                continue
            if other.manifest.built.at < model.manifest.built.at:
                found.setdefault(other.fingerprint, (other, {}))[1][suite] = result
    latest = sorted(found.values(), key=lambda pair: pair[0].manifest.built.at, reverse=True)[:EARLIER_MODELS]
    return {
        f"{other.manifest.built.profile} {other.fingerprint[:8]}": Earlier(
            other.fingerprint, {suite: result.path for suite, result in results.items()}
        )
        for other, results in latest
    }


@dataclass(frozen=True)
class ReportSummary:
    """The page and the model card."""

    content_hash: str
    bytes: int


def _report(build: Build, name: str) -> ReportSummary:
    model = build.inputs["model"]
    facts = collect(
        model, build.store.ancestry(model), name=name, suites=build.paths("eval"), scorecard=build.path("scorecard")
    )
    page = report_html(facts).encode()
    (build.out / REPORT_FILE).write_bytes(page)
    card = model_card(facts).encode()
    (build.out / CARD_FILE).write_bytes(card)
    return ReportSummary(hashlib.sha256(page + card).hexdigest(), len(page))


def _report_metadata(artifact: Artifact) -> Metadata:
    return {
        "page": dg.MetadataValue.path(artifact.path / REPORT_FILE),
        "card": dg.MetadataValue.path(artifact.path / CARD_FILE),
        "bytes": artifact.summary["bytes"],
    }


def _suite_metadata(artifact: Artifact) -> Metadata:
    result = read_result(artifact.path)
    numbers: dict[str, Any] = {score.name.replace("/", " "): score.value for score in result.scores[:12]}
    if text := result.details.markdown():
        return {result.kind: dg.MetadataValue.md(text)}
    if rows := result.details.table():
        return {result.kind: table(rows), **numbers}
    return {"scores": table(suite_rows(result)), **numbers}


def _suite_pictures(facts: Mapping[str, Any], folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.length import length_png

    details = read_result(folder).details
    if not isinstance(details, LengthDetails):
        return {}
    return {"loss_by_position": length_png(details.curves, details.trained_context)}


def _scorecard_metadata(artifact: Artifact) -> Metadata:
    rows = read_scorecard(artifact.path).rows
    text = [row for row in rows if row.metric == "bits_per_byte"]
    other = [row for row in rows if row.metric != "bits_per_byte"]
    shown = text or other
    first = {"this model": shown[0].value} if shown else {}
    first |= {item.name: item.value for item in shown[0].comparisons if item.comparable} if shown else {}
    heading = f"{shown[0].task} {shown[0].metric.replace('_', ' ')}" if shown else ""
    return {"at_a_glance": chart(first, heading), "bits_per_byte_table": _beside(text), "scores": _beside(other)}


def _beside(rows: Sequence[Row]) -> Any:
    """Scores with a column for everything they are compared with: narrow enough for an asset's page."""
    names = list(dict.fromkeys(item.name for row in rows for item in row.comparisons if item.comparable))
    lines = []
    for row in rows:
        values = {item.name: item.value for item in row.comparisons if item.comparable}
        name = row.task if row.metric == "bits_per_byte" else f"{row.task} {row.metric}"
        line = {"score of": name, "this model": with_error(row.value, row.stderr), "items": row.count}
        lines.append(line | {name: round(values[name], 4) if name in values else "" for name in names})
    return table(lines)


def _scorecard_pictures(facts: Mapping[str, Any], folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.scores import scores_png

    card = read_scorecard(folder)
    pictures = {}
    for name, wanted in (("bits_per_byte", {"bits_per_byte"}), ("accuracy", {"acc", "acc_norm"})):
        rows = [row for row in card.rows if row.metric in wanted]
        if rows:
            pictures[name] = scores_png(plottable(rows))
    return pictures
