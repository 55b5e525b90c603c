"""An arm of the study: what decides its results, what it is made from, and its runs, seed by seed.

In: the study's settings and the artifacts that an arm is made from. Out: an `ArmSummary`. Each seed is an artifact of
its own (`pipeline.study.runs.seeds`), so an arm that gets more seeds keeps those it has.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from logging import Logger
from pathlib import Path
from threading import Event
from typing import Any, Final

from pipeline.base.errors import StudyError
from pipeline.base.executor import cpu_count
from pipeline.base.settings import identity_of
from pipeline.profile.profile import Profile
from pipeline.store import Artifact, Built, Store
from pipeline.study.runs.seed_process import SeedTask
from pipeline.study.runs.seeds import (
    DATA,
    HELDOUT,
    ITEMS,
    SEED_VERSION,
    arm_inputs,
    finished_seeds,
    run_seed,
    seed_identity,
    seed_key,
    side_by_side,
)
from pipeline.study.settings import POOLED, ArmRun, StudySettings, resolve

ARM_VERSION: Final = "1"


@dataclass(frozen=True)
class ArmSummary:
    """An arm's finished runs."""

    content_hash: str
    arm: str
    seeds: dict[str, dict[str, Any]]
    """What each seed's `result.json` says."""


def arm_key(name: str) -> str:
    """`ablation/rope` for the arm `rope`."""
    return f"ablation/{name}"


def arm_identity(study: StudySettings, run: ArmRun) -> dict[str, Any]:
    """What decides an arm's results, apart from its data."""
    training = {name: value for name, value in identity_of(run.training).items() if name not in ("seed", "max_steps")}
    return {
        "model": run.model,
        "training": training,
        "budget": run.budget,
        "points": study.points,
        "apart": list(study.heldout.apart),
        "seeds": list(run.seeds),
    }


def tokenizer_of(profile: Profile, study: StudySettings, data: str) -> str:
    """Name of the tokenizer of a data set. Raises StudyError where the profile chooses it by comparison."""
    name = study.data[data].tokenizer or profile.tokenizers.select
    if name not in profile.tokenizers.candidates:
        raise StudyError(
            f"study.data.{data}: tokenizers.select is {name!r}, no candidate's name; set the data set's tokenizer"
        )
    return name


def run_arm(
    run: ArmRun, study: StudySettings, tokenizer: str, inputs: Mapping[str, Artifact], store: Store, log: Logger
) -> ArmSummary:
    """Every seed of an arm; each is an artifact of its own, `ablation_seed/<arm>/<seed>`, reused when it is there.

    `inputs` are the artifacts of `arm_inputs`, `tokenizer` the name of their tokenizer. Raises StudyError in the words
    of the first run that fails.
    """
    data = inputs[f"{DATA}/{run.data}"]
    items = inputs[f"{ITEMS}/{tokenizer}"].path if study.benchmarks.tasks else None

    def seed(number: int, stop: Event) -> Artifact:
        task = SeedTask(
            model=run.model.to_dict(),
            training=dataclasses.asdict(run.training) | {"seed": number, "max_steps": None},
            budget=run.budget.model_dump(),
            points=study.points,
            epochs=[str(data.path / epoch) for epoch in data.summary["epochs"]],
            tokenizer=str(inputs[f"tokenizer/{tokenizer}"].path),
            heldout=str(inputs[HELDOUT].path),
            apart=list(study.heldout.apart),
            benchmarks={name: str(items / f"{name}.json") for name in study.benchmarks.tasks} if items else {},
        )

        def build(out: Path) -> Built:
            return run_seed(task, out, stop)

        log.info(f"{run.name}: seed {number}")
        outcome = store.ensure(
            seed_key(run.name, number),
            code_version=SEED_VERSION,
            identity=seed_identity(study, run, number),
            inputs=inputs,
            build=build,
        )
        found = outcome.artifact.summary
        log.info(f"{run.name}: seed {number}: {found['bits_per_byte'].get(POOLED, found['state'])}")
        return outcome.artifact

    tasks: list[Callable[[Event], Artifact]] = [partial(seed, number) for number in run.seeds]
    artifacts = dict(zip(run.seeds, side_by_side(tasks, study.seeds_at_once or cpu_count()), strict=True))
    hashes = "\n".join(f"{number} {item.content_hash}" for number, item in artifacts.items())
    return ArmSummary(
        hashlib.sha256(hashes.encode()).hexdigest(),
        run.name,
        {str(number): dict(item.summary) for number, item in artifacts.items()},
    )


def finished_arms(profile: Profile, study: StudySettings, store: Store) -> dict[str, Mapping[str, Any]]:
    """Finished runs of every arm that has any, `{"seeds": {seed: what it found}}`: those alone that the study as it is
    now would reuse, since others may have been made with another budget or other data."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in study.arms:
        run = resolve(study, name, profile.model, profile.training)
        seeds = finished_seeds(store, study, run, arm_inputs(study, run, tokenizer_of(profile, study, run.data)))
        if seeds:
            found[name] = {"seeds": seeds}
    return found
