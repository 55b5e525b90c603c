"""Running an arm: a process for each seed, a few of them side by side, each result an artifact of its own.

A seed's artifact is named by what decides it (model, training, budget, shards, tokenizer, held-out sample), so that an
arm with more seeds keeps those it has, and an arm that was killed keeps its finished seeds and goes on within the
others. The study's artifacts are metrics; an arm that keeps its weights, or that others learn from, has those of its
runs' ends beside them.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Final, TypeVar

from pipeline.base.errors import StudyError
from pipeline.base.finished import RECORD, is_finished
from pipeline.base.lock import exclusive
from pipeline.base.settings import identity_of
from pipeline.launch.launcher import Launcher, Program
from pipeline.launch.local import LocalLauncher
from pipeline.store import Artifact, Store
from pipeline.study.plan import ArmPlan, StudyPlan
from pipeline.study.results.run_result import RunResult
from pipeline.study.runs.seed_process import (
    ERROR_FILE,
    POINTS,
    RESULT_FILE,
    SCORES_FILE,
    SEED_FILE,
    WEIGHTS,
    SeedTask,
)
from trainer.run.folder import METRICS_FILE, SUMMARY_FILE

SEED_VERSION: Final = "2"
HELDOUT: Final = "ablation_heldout"
DATA: Final = "ablation_data"
ITEMS: Final = "ablation_items"
OUTPUT_FILE: Final = "output.txt"
LOCK_FILE: Final = "lock"
ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
POLL_SECONDS: Final = 0.2
T = TypeVar("T")
log = logging.getLogger(__name__)


def side_by_side(tasks: Sequence[Callable[[threading.Event], T]], at_once: int) -> list[T]:
    """Call every task, `at_once` at a time, with an event that is set when they are to stop; results in order.

    The first error, or an interruption of this thread, stops the others before it is raised.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(at_once) as pool:
        futures = [pool.submit(task, stop) for task in tasks]
        try:
            waiting = set(futures)
            while waiting:
                # a short wait, so that an interruption is seen
                done, waiting = wait(waiting, timeout=POLL_SECONDS, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
    return [future.result() for future in futures]


def arm_key(name: str) -> str:
    """`ablation/rope` for the arm `rope`."""
    return f"ablation/{name}"


def seed_key(arm: str, seed: int) -> str:
    """Where a run's artifact is: `ablation_seed/rope/1`."""
    return f"ablation_seed/{arm}/{seed}"


def seed_identity(plan: StudyPlan, arm: ArmPlan, seed: int) -> dict[str, Any]:
    """What decides a run, apart from its shards, tokenizer and held-out sample."""
    return {
        "model": identity_of(arm.model),
        "training": identity_of(arm.training) | {"seed": seed, "max_steps": None},
        "budget": arm.budget.identity(),
        "points": plan.settings.points,
        "apart": list(plan.settings.heldout.apart),
        **kept_weights(arm),
    }


def kept_weights(arm: ArmPlan) -> dict[str, Any]:
    """What of its runs' ends an arm keeps, as its identity has it; empty where it keeps none."""
    checkpoints = {"checkpoints": arm.keep_checkpoints} if arm.keep_checkpoints else {}
    if arm.teaches:
        return {"weights": "kept to teach", **checkpoints}
    return {"weights": "kept", **checkpoints} if arm.keep_weights else {}


def kept_files(arm: ArmPlan) -> list[str]:
    """Names of the files of a run's end that stay."""
    weights = WEIGHTS if kept_weights(arm) else ()
    return [*weights, *((SUMMARY_FILE,) if arm.teaches else ())]


def arm_inputs(plan: StudyPlan, arm: ArmPlan) -> list[str]:
    """Keys of what an arm's runs are made from."""
    return list(dict.fromkeys(key for seed in arm.seeds for key in seed_inputs(plan, arm, seed)))


def seed_inputs(plan: StudyPlan, arm: ArmPlan, seed: int) -> list[str]:
    """Keys of what one of its runs is made from."""
    data = arm.data_of(seed)
    tokenizer = plan.tokenizer_of(data)
    items = [f"{ITEMS}/{tokenizer}"] if plan.settings.benchmarks.tasks else []
    return [HELDOUT, f"{DATA}/{data}", f"tokenizer/{tokenizer}", *items, *map(arm_key, arm.teachers)]


def finished_seeds(store: Store, plan: StudyPlan, arm: ArmPlan) -> dict[int, RunResult]:
    """What the finished runs of an arm found, by seed: those alone that the study as it is now would reuse."""
    return {seed: RunResult.read(artifact.summary) for seed, artifact in seed_artifacts(store, plan, arm).items()}


def seed_artifacts(store: Store, plan: StudyPlan, arm: ArmPlan) -> dict[int, Artifact]:
    """Those runs themselves."""
    found = {}
    for seed in arm.seeds:
        artifact = store.find_fresh(
            seed_key(arm.name, seed),
            code_version=SEED_VERSION,
            identity=seed_identity(plan, arm, seed),
            inputs=seed_inputs(plan, arm, seed),
        )
        if artifact is not None:
            found[seed] = artifact
    return found


def teachers_of(store: Store, plan: StudyPlan, arm: ArmPlan) -> list[Path]:
    """Folders of the finished runs that an arm learns from. Raises StudyError where one diverged or is not there."""
    folders = []
    for teacher in map(plan.arm, arm.teachers):
        runs = seed_artifacts(store, plan, teacher)
        for seed in teacher.seeds:
            if seed not in runs or not (runs[seed].path / SUMMARY_FILE).is_file():
                raise StudyError(
                    f"{arm.name}: {arm_key(teacher.name)} has no finished run of seed {seed} to learn from: it has "
                    "diverged, or is to be materialized again"
                )
            folders.append(runs[seed].path)
    return folders


def run_seed(task: SeedTask, out: Path, launcher: Launcher, log: logging.Logger, stop: threading.Event) -> RunResult:
    """Run one seed in a process with one thread until it is done; the run's own files are removed, but for those that
    the task keeps.

    Raises StudyError with the process's own words where it fails, or when `stop` is set.
    """
    if not is_finished(out / RESULT_FILE):
        task.write(out / SEED_FILE)
        (out / ERROR_FILE).unlink(missing_ok=True)  # what an earlier attempt said explains no kill of this one
        program = Program(
            *("pipeline.study.runs.seed_process", (str(out),)), environment=ENVIRONMENT, output=out / OUTPUT_FILE
        )
        handle = launcher.start(program, log)
        while (status := handle.wait(POLL_SECONDS)) is None:
            if stop.is_set():
                handle.stop()
        if status:
            raise StudyError(_why(out, status))
    result = RunResult.of(out / RESULT_FILE)
    kept = (RESULT_FILE, SCORES_FILE, METRICS_FILE, *task.keeps)
    for item in out.iterdir():
        if item.is_dir():
            if item.name != POINTS:
                shutil.rmtree(item)
        elif item.name not in kept and item.suffix != RECORD:
            item.unlink()
    return result


def run_seed_alone(task: SeedTask, out: Path) -> RunResult:
    """One seed as a part of an engine's. Of attempts at the same time one runs, and the others find what it did: a node
    that was given up may be at work still. Raises as `run_seed`."""
    with exclusive(out / LOCK_FILE, "running the same seed"):
        return run_seed(task, out, LocalLauncher(), log, threading.Event())


def _why(out: Path, status: int) -> str:
    said = out / ERROR_FILE
    if said.is_file():
        return said.read_text(encoding="utf-8").strip()
    lines = (out / OUTPUT_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return (
        f"a run ended with status {status} before it was done ({lines[-1] if lines else 'it said nothing'}); "
        "materialize the arm again to go on from its newest checkpoint"
    )
