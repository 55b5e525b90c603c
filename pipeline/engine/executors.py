"""The one place where an engine's settings become the executor that parts are mapped by."""

from __future__ import annotations

from pathlib import Path

from pipeline.base.errors import EngineError
from pipeline.base.executor import Executor, Processes
from pipeline.engine.carried import Carrier
from pipeline.engine.ray_tasks import RayTasks
from pipeline.engine.settings import Engine, RayEngine, SlurmEngine
from pipeline.engine.slurm_array import SlurmArray
from pipeline.store.remote.address import store_address


def executor_of(engine: Engine, workers: int, folder: Path, *, setting: str, root: Path | None = None) -> Executor:
    """An executor, which starts nothing before the first work comes that is worth it.

    workers: most parts at once on a machine; 0 for one a CPU. folder: for what nodes hand one another, where all of
    them see it. setting: what to lower where memory runs out, for the error's text. root: holds all that parts read
    and write, where nodes do not see it. Raises EngineError where files are to travel and there is no bucket.
    """
    if isinstance(engine, RayEngine):
        carrier = None
        if engine.files == "store":
            address = store_address()
            if address is None:
                raise EngineError("engine.files is `store`, and SQUEEZE_STORE names no bucket for files to travel by")
            carrier = Carrier(address, root or folder, engine.node_gb)
        return RayTasks(engine, workers, setting=setting, carrier=carrier)
    if isinstance(engine, SlurmEngine):
        return SlurmArray(engine, folder, setting=setting)
    return Processes(workers, setting=setting)
