"""Group `evaluation`: the items that are scored while the model trains, and an asset per suite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipeline.assets.metadata import table
from pipeline.assets.sharding import epoch_key
from pipeline.assets.stored_asset import Build, Metadata, StoredAsset
from pipeline.assets.tokenization import corpus_inputs
from pipeline.assets.unchanged import require_unchanged
from pipeline.base.archives import fetch_archive
from pipeline.base.errors import EvaluationError, NotPossibleError
from pipeline.base.executor import Executor
from pipeline.base.files import files_below
from pipeline.curation.selected import iter_selected
from pipeline.evaluation.heldout import TrainingText
from pipeline.evaluation.lm_eval.item_texts import check_items
from pipeline.evaluation.lm_eval.training_items import (
    TRAINING_ITEMS_VERSION,
    TrainingItems,
    WhileTraining,
    build_training_items,
)
from pipeline.evaluation.loading import usable_device
from pipeline.evaluation.results import SuiteResult, not_possible
from pipeline.evaluation.suites.few_shot import FewShotDetails
from pipeline.evaluation.suites.length import LengthDetails
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings, evaluate_suite
from pipeline.evaluation.suites.table import Suite, read_result
from pipeline.profile.profile import Profile
from pipeline.reporting.scores import suite_rows

GROUP: Final = "evaluation"
TRAINING_ITEMS: Final = "training_items"
SUITES_AT_ONCE: Final = "assets_at_once"
"""What to lower where a suite's process is killed for want of memory."""


def stored_assets(profile: Profile) -> list[StoredAsset[Any]]:
    """The items for training, and an asset per suite.

    Raises EvaluationError for a task that lm-eval or the archive does not have: before hours go into the model.
    """
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
        *(_suite(profile, name, suite) for name, suite in profile.evaluation.suites.items()),
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
) -> StoredAsset[Any]:
    """Tasks' items as ids of the tokenizer that the asset `tokenizer` holds."""
    archive, context = profile.evaluation.archive, profile.model.context

    def make(build: Build) -> TrainingItems:
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
        summary=TrainingItems,
        make=make,
        metadata=_items_metadata,
        kinds=frozenset({"json"}),
    )


def _items_metadata(items: TrainingItems, folder: Path) -> Metadata:
    return {"tasks": table([asdict(task) for task in items.tasks])}


def _suite(profile: Profile, name: str, suite: Suite) -> StoredAsset[Any]:
    evaluation = profile.evaluation
    keys = [key for corpus in profile.corpora for key in corpus_inputs(corpus)]
    heldout = [key for key in keys if suite.needs_heldout and key.startswith("heldout/")]
    shards = [epoch_key(epoch) for epoch in range(1, profile.schedule.epochs + 1)] if suite.needs_shards else []

    def make(build: Build) -> SuiteResult:
        inputs = SuiteInputs(
            heldout=build.paths("heldout"),
            training=_training_text(build, profile) if suite.needs_training_text else {},
            shards=build.paths("shards") if suite.needs_shards else {},
            archive=evaluation.archive,
            cache=build.store.cache,
        )
        check_tokenizer(build)
        work = partial(
            evaluate_suite, weights=evaluation.weights, device=(device := usable_device(profile.training.device))
        )
        task = (suite, build.path("model"), build.path("tokenizer"), inputs, build.out)
        try:
            with build.executor(profile.engine, 1, SUITES_AT_ONCE) as executor:
                if _goes_elsewhere(suite, device, executor):
                    result = executor.run(work, task, reads=_files_of(build, suite, inputs))
                else:
                    result = work(*task)
            now = suite.local_files()
            before = {name: build.settings[name] for name in now}
            require_unchanged(f"eval/{name}", build.out, _of_files(before), _of_files(now))
            return result
        except NotPossibleError as error:
            if error.passing:
                raise
            return not_possible(build.out, suite.kind, str(error))

    return StoredAsset(
        key=f"eval/{name}",
        group=GROUP,
        description=suite.description,
        version=suite.version,
        settings=evaluation.identity_of_suite(suite),
        override=lambda settings, _: settings | suite.local_files(),
        inputs=["model", "tokenizer", *(keys if suite.needs_training_text else heldout), *shards],
        summary=SuiteResult,
        make=make,
        metadata=_suite_metadata,
        pictures=_suite_pictures,
        instead=lambda build, why: not_possible(build.out, suite.kind, why),
        missing=lambda result: result.not_possible,
        strict="evaluation.strict" if evaluation.strict else "",
    )


def _goes_elsewhere(suite: Suite, device: str, executor: Executor) -> bool:
    """Whether another machine may evaluate a suite: one without the GPU of this, if it has any, or a file of it that a
    suite reads would do worse or not at all."""
    return executor.elsewhere and device == "cpu" and not suite.local_files()


def _files_of(build: Build, suite: Suite, inputs: SuiteInputs) -> Iterator[Path]:
    """All files that a suite reads of this build's."""
    for label, item in build.inputs.items():
        if suite.needs_training_text or not label.startswith(("documents/", "corpus/")):
            yield from files_below(item.path)
    if suite.reads_archive():
        yield fetch_archive(inputs.archive, inputs.cache)


def _of_files(local: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {file: content for folder in local.values() for file, content in folder.items()}


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


def _training_text(build: Build, profile: Profile) -> TrainingText:
    return {
        corpus: partial(_read_selected, build.path(f"documents/{corpus}"), build.path(f"corpus/{corpus}"))
        for corpus in profile.corpora
    }


def _read_selected(documents: Path, corpus: Path) -> Iterator[tuple[bytes, str, str]]:
    columns = ("doc_id", "text", "lang")
    for batch in iter_selected(documents, corpus, columns=columns):
        yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


def _suite_metadata(summary: SuiteResult, folder: Path) -> Metadata:
    result = read_result(folder)
    numbers: dict[str, Any] = {score.name.replace("/", " "): score.value for score in result.scores[:12]}
    if result.not_possible:
        return {"not_possible_here": result.not_possible}
    if text := result.details.markdown():
        return {result.kind: dg.MetadataValue.md(text)}
    if rows := result.details.table():
        return {result.kind: table(rows), **numbers}
    return {"scores": table(suite_rows(result)), **numbers}


def _suite_pictures(summary: SuiteResult, folder: Path) -> Mapping[str, bytes]:
    from pipeline.reporting.plots.length import length_png
    from pipeline.reporting.plots.shots import shots_png

    details = read_result(folder).details
    if isinstance(details, LengthDetails):
        return {"loss_by_position": length_png(details.curves, details.trained_context)}
    if isinstance(details, FewShotDetails):
        return {f"by_shots_{unit}": shots_png(curves) for unit, curves in details.by_unit().items()}
    return {}
