"""The one place where an engine's settings become the executor that parts are mapped by."""

from __future__ import annotations

from pathlib import Path

from pipeline.base.executor import Executor, Processes
from pipeline.engine.ray_tasks import RayTasks
from pipeline.engine.settings import Engine, RayEngine, SlurmEngine
from pipeline.engine.slurm_array import SlurmArray


def executor_of(engine: Engine, workers: int, folder: Path, *, setting: str) -> Executor:
    """An executor, which starts nothing before the first work comes that is worth it.

    workers: most parts at once on a machine; 0 for one a CPU. folder: for what nodes hand one another, where all of
    them see it. setting: what to lower where memory runs out, for the error's text.
    """
    if isinstance(engine, RayEngine):
        return RayTasks(engine, workers, setting=setting)
    if isinstance(engine, SlurmEngine):
        return SlurmArray(engine, folder, setting=setting)
    return Processes(workers, setting=setting)
