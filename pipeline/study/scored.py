"""What suites say of the study's models: every finished run that kept its weights, scored by the profile's suites.

In: the plan, the store, the suites. Out: rows of `scores.csv`, one a run and score, and one for each checkpoint on its
way whose weights it kept (`keep_checkpoints`). Each run's result of a suite is an
artifact of its own (`ablation_scores/<arm>/<seed>/<suite>`), so that what was scored once is not scored again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.errors import NotPossibleError, StudyError
from pipeline.base.settings import identity_of
from pipeline.evaluation.settings import EvaluationSettings
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings, evaluate_suite
from pipeline.evaluation.suites.table import read_result
from pipeline.study.plan import ArmPlan, StudyPlan
from pipeline.study.results.run_result import FINISHED, RunResult
from pipeline.study.runs.seed_process import POINTS
from pipeline.study.runs.seeds import seed_artifacts, seed_key
from trainer.run.folder import MODEL_FILE

if TYPE_CHECKING:
    from pipeline.store import Artifact, Built, Store

SCORES_FILE: Final = "scores.csv"
COLUMNS: Final = (
    "arm",
    "seed",
    "suite",
    "task",
    "metric",
    "value",
    "stderr",
    "count",
    "higher_is_better",
    "checkpoint",
)
"""`checkpoint`: tokens after which the run was scored; nothing at its end."""

log = logging.getLogger(__name__)


def score_runs(plan: StudyPlan, store: Store, evaluation: EvaluationSettings) -> list[dict[str, Any]]:
    """A row for every score of every finished run with weights. Suites that read the profile's held-out or training
    text are left out: runs have scores on the study's own.

    Raises StudyError where no run has weights or no suite is left, EvaluationError for what is wrong with a model.
    """
    suites = {name: suite for name, suite in evaluation.suites.items() if not _reads_text(suite)}
    if not suites:
        raise StudyError(
            "no suite to score the runs by: name some under `evaluation: suites:` that need no held-out text, such as "
            "lm_eval or minimal_pairs"
        )
    rows = [
        row
        for name in plan.settings.arms
        for seed, run in _with_weights(plan, store, plan.arm(name))
        for suite, settings in suites.items()
        for tokens in (None, *_checkpoints(run))
        for row in _rows(plan, store, evaluation, (name, seed, run, tokens), (suite, settings))
    ]
    if not rows:
        raise StudyError(
            "no finished run has kept its weights: set keep_weights on the arms to score (study.arms.<arm>), and run "
            "`dagster job execute -j ablations`"
        )
    return rows


def _reads_text(suite: SuiteSettings) -> bool:
    return suite.needs_heldout or suite.needs_training_text or suite.needs_shards


def _with_weights(plan: StudyPlan, store: Store, arm: ArmPlan) -> Iterator[tuple[int, Artifact]]:
    for seed, run in seed_artifacts(store, plan, arm).items():
        if RunResult.read(run.summary).state == FINISHED and (run.path / MODEL_FILE).is_file():
            yield seed, run


def _checkpoints(run: Artifact) -> list[int]:
    """Tokens after which a run's weights were kept on its way."""
    return sorted(int(place.name) for place in (run.path / POINTS).glob("[0-9]*"))


def _rows(
    plan: StudyPlan,
    store: Store,
    evaluation: EvaluationSettings,
    of_run: tuple[str, int, Artifact, int | None],
    named: tuple[str, SuiteSettings],
) -> Iterator[dict[str, Any]]:
    from pipeline.store import Built

    (arm, seed, run, tokens), (name, suite) = of_run, named
    model = run.path if tokens is None else run.path / POINTS / str(tokens)
    tokenizer_key = f"tokenizer/{plan.tokenizer_of(plan.arm(arm).data_of(seed))}"
    tokenizer = store.input_of(run, tokenizer_key)

    def build(out: Path) -> Built:
        inputs = SuiteInputs(archive=evaluation.archive, cache=store.cache)
        return Built(evaluate_suite(suite, model, tokenizer.path, inputs, out).content_hash)

    log.info(f"{arm}, seed {seed}: {name}")
    try:
        outcome = store.ensure(
            f"ablation_scores/{arm}/{seed}/{name}" + ("" if tokens is None else f"/{tokens}"),
            code_version=suite.version,
            identity={**_identity(evaluation, suite), **({} if tokens is None else {"checkpoint": tokens})},
            inputs={seed_key(arm, seed): run, tokenizer_key: tokenizer},
            build=build,
        )
    except NotPossibleError as error:
        log.warning("%s: not possible here: %s", name, error)
        return
    for score in read_result(outcome.artifact.path).scores:
        values = (score.task, score.metric, score.value, score.stderr, score.count, score.higher_is_better, tokens)
        yield dict(zip(COLUMNS, (arm, seed, name, *values), strict=True))


def _identity(evaluation: EvaluationSettings, suite: SuiteSettings) -> Mapping[str, Any]:
    identity: Mapping[str, Any] = identity_of({**evaluation.identity_of_suite(suite), **suite.local_files()})
    return identity
