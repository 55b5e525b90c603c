"""A heat of the laptop race: the standard recipe and the entry at one seed, side by side, a thread each.

In: a study whose `race` names a track, and the artifacts that both arms are made from. Out: a `Heat`, with what both
runs found and, on the track `bytes`, what they find again in a file. Both share every moment of the machine, which is
why the entry's CPU seconds are set beside those of the standard recipe of the same heat and of no other; a heat that
was cut short has no such seconds and begins anew.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from logging import Logger
from pathlib import Path
from threading import Event
from typing import Any, Final

from pipeline.base.canonical import canonical_hash
from pipeline.base.errors import StudyError
from pipeline.base.finished import is_finished
from pipeline.launch.launcher import Launcher
from pipeline.store import Artifact
from pipeline.study.data import FINAL, DataSummary
from pipeline.study.plan import ArmPlan, StudyPlan
from pipeline.study.results.run_result import FINISHED, RunResult
from pipeline.study.runs.arm import seed_task
from pipeline.study.runs.in_bits import FileFigures, file_name, score_in_bits
from pipeline.study.runs.seed_process import WEIGHTS
from pipeline.study.runs.seeds import (
    DATA,
    HELDOUT,
    RESULT_FILE,
    run_seed,
    seed_identity,
    seed_inputs,
    side_by_side,
)
from pipeline.study.tracks import RaceSettings
from trainer.run.folder import MODEL_FILE

HEAT_VERSION: Final = "1"
STANDARD: Final = "standard"
ENTRY: Final = "entry"
THREADS: Final = 2
"""A heat's runs, of one thread each."""


@dataclass(frozen=True)
class Side:
    """What one of the two runs of a heat found."""

    run: dict[str, Any]
    """A `RunResult` as JSON."""
    text_bytes: int
    """Of the documents it was trained on, each counted once however often it was read."""
    file: FileFigures | None = None
    """On the track `bytes`, of the model in few bits."""

    @property
    def result(self) -> RunResult:
        return RunResult.read(self.run)


@dataclass(frozen=True)
class Heat:
    """A heat in numbers."""

    content_hash: str
    seed: int
    standard: Side
    entry: Side


def race_of(plan: StudyPlan) -> tuple[RaceSettings, ArmPlan, ArmPlan]:
    """The race, the standard recipe and the entry, all of the entry's seeds. Raises StudyError where it is no entry."""
    race = plan.settings.race
    if race is None or race.track is None:
        raise StudyError(
            "the profile is no entry of the race: write one that says `extends: race`, study.race.track and the arm "
            "study.arms.entry"
        )
    entry = plan.arm(race.entry)
    return race, plan.arm(plan.settings.baseline)._replace(seeds=entry.seeds), entry


def heat_key(seed: int) -> str:
    """`race_heat/1` for seed 1."""
    return f"race_heat/{seed}"


def heat_identity(plan: StudyPlan, seed: int) -> dict[str, Any]:
    """What decides a heat, apart from its shards, tokenizers and held-out sample."""
    race, standard, entry = race_of(plan)
    packed = {"bits": race.bits, "group": race.group, "method": race.method} if race.track == "bytes" else None
    return {
        STANDARD: seed_identity(plan, standard, seed),
        ENTRY: seed_identity(plan, entry, seed),
        **({"file": packed} if packed else {}),
    }


def heat_inputs(plan: StudyPlan, seed: int) -> list[str]:
    """Keys of what both runs are made from."""
    _, *arms = race_of(plan)
    return list(dict.fromkeys(key for arm in arms for key in seed_inputs(plan, arm, seed)))


def run_heat(
    plan: StudyPlan, seed: int, inputs: Mapping[str, Artifact], out: Path, launcher: Launcher, log: Logger
) -> Heat:
    """Run both arms at one seed at the same time into `out`, which keeps their figures and, of the track `bytes`, their
    files.

    `inputs` are the artifacts of `heat_inputs`. Raises StudyError in the words of the run that fails, or where one
    diverges: a race needs both ends.
    """
    race, standard, entry = race_of(plan)
    arms = {STANDARD: standard, ENTRY: entry}
    weighs = race.track == "bytes"
    if not all(_is_done(out / side, weighs) for side in arms):
        for side in arms:
            shutil.rmtree(out / side, ignore_errors=True)

    def run(side: str, stop: Event) -> RunResult:
        (out / side).mkdir(parents=True, exist_ok=True)
        task = dataclasses.replace(seed_task(plan, arms[side], inputs, seed), keeps=list(WEIGHTS) if weighs else [])
        return run_seed(task, out / side, launcher, log, stop)

    tasks: list[Callable[[Event], RunResult]] = [partial(run, side) for side in arms]
    results = dict(zip(arms, side_by_side(tasks, THREADS), strict=True))
    for side, result in results.items():
        if result.state != FINISHED:
            raise StudyError(f"seed {seed}: the {side}'s run diverged ({result.message}); a race needs both ends")
    sides = {side: _side(plan, arms[side], seed, inputs, out, side, results[side]) for side in arms}
    for side in arms:
        for name in WEIGHTS:
            (out / side / name).unlink(missing_ok=True)
    found = {side: [results[side].content_hash(), dataclasses.asdict(sides[side])["file"]] for side in arms}
    return Heat(canonical_hash(found), seed, sides[STANDARD], sides[ENTRY])


def _is_done(folder: Path, weighs: bool) -> bool:
    return is_finished(folder / RESULT_FILE) and (not weighs or (folder / MODEL_FILE).is_file())


def _side(
    plan: StudyPlan,
    arm: ArmPlan,
    seed: int,
    inputs: Mapping[str, Artifact],
    out: Path,
    side: str,
    result: RunResult,
) -> Side:
    from trainer.quantize import QuantizeSettings

    race, _, _ = race_of(plan)
    data = inputs[f"{DATA}/{arm.data_of(seed)}"]
    facts = data.summary_as(DataSummary)
    text_bytes = round(min(result.tokens, facts.tokens) * facts.bytes / facts.tokens)
    file = None
    if race.track == "bytes":
        file = score_in_bits(
            out / side,
            inputs[f"tokenizer/{plan.tokenizer_of(arm.data_of(seed))}"].path,
            data.path / facts.epochs[0],
            QuantizeSettings(race.bits, race.group, race.method),
            inputs[HELDOUT].path / FINAL,
            plan.settings.heldout.apart,
            out / file_name(side, race.bits),
        )
    return Side(result.to_json(), text_bytes, file)
