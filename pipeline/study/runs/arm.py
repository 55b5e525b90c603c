"""An arm of the study: what decides its results, what it is made from, and its runs, seed by seed.

In: the study's plan and the artifacts that an arm is made from. Out: an `ArmSummary`. Each seed is an artifact of
its own (`pipeline.study.runs.seeds`), so an arm that gets more seeds keeps those it has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from logging import Logger
from pathlib import Path
from threading import Event
from typing import Any, Final

from pipeline.base.canonical import text_hash
from pipeline.base.executor import Executor
from pipeline.base.settings import identity_of
from pipeline.launch.local import LocalLauncher
from pipeline.store import Artifact, Built, Store
from pipeline.study.data import DataSummary
from pipeline.study.plan import ArmPlan, StudyPlan
from pipeline.study.results.run_result import POOLED, RunResult
from pipeline.study.runs.seed_process import SeedTask
from pipeline.study.runs.seeds import (
    DATA,
    HELDOUT,
    ITEMS,
    SEED_VERSION,
    finished_seeds,
    kept_files,
    kept_weights,
    run_seed,
    run_seed_alone,
    seed_identity,
    seed_inputs,
    seed_key,
    side_by_side,
    teachers_of,
)
from trainer.process.cores import core_count

ARM_VERSION: Final = "1"


@dataclass(frozen=True)
class ArmSummary:
    """An arm's finished runs."""

    content_hash: str
    arm: str
    seeds: dict[str, dict[str, Any]]
    """By seed, a `RunResult` as JSON."""

    @property
    def results(self) -> dict[int, RunResult]:
        """What each seed found."""
        return {int(seed): RunResult.read(values) for seed, values in self.seeds.items()}


def arm_identity(plan: StudyPlan, arm: ArmPlan) -> dict[str, Any]:
    """What decides an arm's results, apart from its data."""
    training = {name: value for name, value in identity_of(arm.training).items() if name not in ("seed", "max_steps")}
    return {
        "model": arm.model,
        "training": training,
        "budget": arm.budget,
        "points": plan.settings.points,
        "apart": list(plan.settings.heldout.apart),
        "seeds": list(arm.seeds),
        **kept_weights(arm),
    }


def seed_task(plan: StudyPlan, arm: ArmPlan, inputs: Mapping[str, Artifact], seed: int) -> SeedTask:
    """What one run of an arm needs beside its teachers; `inputs` hold the artifacts of `seed_inputs`."""
    study, name = plan.settings, arm.data_of(seed)
    data, tokenizer = inputs[f"{DATA}/{name}"], plan.tokenizer_of(name)
    items = inputs[f"{ITEMS}/{tokenizer}"].path if study.benchmarks.tasks else Path()
    return SeedTask(
        model=arm.model.to_dict(),
        training=dataclasses.asdict(arm.training) | {"seed": seed, "max_steps": None},
        budget=arm.budget.model_dump(),
        points=study.points,
        epochs=[data.path / epoch for epoch in data.summary_as(DataSummary).epochs],
        tokenizer=inputs[f"tokenizer/{tokenizer}"].path,
        heldout=inputs[HELDOUT].path,
        apart=list(study.heldout.apart),
        benchmarks={name: items / f"{name}.json" for name in study.benchmarks.tasks},
        keeps=kept_files(arm),
        keeps_points=arm.keep_checkpoints,
    )


def run_arm(
    plan: StudyPlan, arm: ArmPlan, inputs: Mapping[str, Artifact], store: Store, executor: Executor, log: Logger
) -> ArmSummary:
    """Every seed of an arm; each is an artifact of its own, `ablation_seed/<arm>/<seed>`, reused when it is there.

    Each is run by the executor, so on other machines where there are any. `inputs` are the artifacts of `arm_inputs`.
    Raises StudyError in the words of the first run that fails, and what the executor raises.
    """
    study = plan.settings
    teachers = teachers_of(store, plan, arm)
    at_once = study.seeds_at_once or (executor.slots if executor.elsewhere else core_count())

    def seed(number: int, stop: Event) -> Artifact:
        of_seed = dataclasses.replace(seed_task(plan, arm, inputs, number), teachers=teachers)

        def build(out: Path) -> Built:
            if executor.elsewhere:
                result = executor.run(run_seed_alone, (of_seed, out), reads=of_seed.files, stop=stop)
            else:
                result = run_seed(of_seed, out, LocalLauncher(), log, stop)
            return Built(result.content_hash(), result.to_json())

        log.info(f"{arm.name}: seed {number}")
        outcome = store.ensure(
            seed_key(arm.name, number),
            code_version=SEED_VERSION,
            identity=seed_identity(plan, arm, number),
            inputs={key: inputs[key] for key in seed_inputs(plan, arm, number)},
            build=build,
        )
        result = RunResult.read(outcome.artifact.summary)
        log.info(f"{arm.name}: seed {number}: {result.bits_per_byte.get(POOLED, result.state)}")
        return outcome.artifact

    tasks: list[Callable[[Event], Artifact]] = [partial(seed, number) for number in arm.seeds]
    artifacts = dict(zip(arm.seeds, side_by_side(tasks, at_once), strict=True))
    return ArmSummary(
        content_hash=text_hash("\n".join(f"{number} {item.content_hash}" for number, item in artifacts.items())),
        arm=arm.name,
        seeds={str(number): dict(item.summary) for number, item in artifacts.items()},
    )


def finished_arms(plan: StudyPlan, store: Store) -> dict[str, dict[int, RunResult]]:
    """What the finished runs of every arm that has any found, by arm and seed: of those alone that the study as it is
    now would reuse, since others may have been made with another budget or other data."""
    by_arm = {}
    for name in plan.settings.arms:
        arm = plan.arm(name)
        if results := finished_seeds(store, plan, arm):
            by_arm[name] = results
    return by_arm
