"""Every engine keeps the executor's promises: results, order, errors, shared values, bounds."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from pipeline.base.errors import EngineError, ShardError, WorkerError
from pipeline.base.executor import Executor
from pipeline.engine import same_code
from pipeline.engine.executors import executor_of
from pipeline.engine.settings import RayEngine, SlurmEngine
from tests.cluster import parts
from tests.cluster.training_run import wait_for

pytestmark = pytest.mark.cluster
TASKS = [(number,) for number in range(12)]


@pytest.fixture(params=["ray", "slurm"])
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Executor:
    if request.param == "ray":
        settings = RayEngine(address=request.getfixturevalue("ray_nodes").address)
    else:
        request.getfixturevalue("slurm")
        settings = SlurmEngine(slots=3)
    return executor_of(settings, 0, tmp_path / "shared", setting="workers")


def test_results_come_in_the_order_of_the_tasks_or_as_they_finish(executor: Executor) -> None:
    expected = [number * number for number in range(12)]
    with executor:
        assert list(executor.map(parts.square, TASKS)) == expected
        assert sorted(executor.map(parts.square, TASKS, ordered=False)) == expected
        assert list(executor.map(parts.square, [])) == []
        assert (executor.slots, executor.machines) in {(2, 2), (3, 3)}


def test_a_shared_value_is_the_same_in_every_task(executor: Executor) -> None:
    with executor:
        table = executor.share(np.arange(100, 112))
        assert list(executor.map(parts.look_up, [(table, place) for place in range(12)])) == list(range(100, 112))


def test_an_error_of_ours_comes_out_as_itself(executor: Executor) -> None:
    with executor, pytest.raises(ShardError, match=r"^part 3 says no"):
        list(executor.map(parts.refuse, TASKS))


def test_no_more_tasks_run_at_once_than_memory_has_room_for(executor: Executor, tmp_path: Path) -> None:
    (room := tmp_path / "room").mkdir()
    with executor:
        together = list(executor.map(parts.enter_and_leave, [(room, n) for n in range(4)], most_at_once=1))
    assert together == [1, 1, 1, 1]


def test_a_worker_of_other_code_is_refused_by_what_differs(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    here = (*same_code.versions()[:-1], ("code", "0123456789ab"))
    for module in ("ray_tasks", "slurm_array"):
        monkeypatch.setattr(f"pipeline.engine.{module}.versions", lambda: here)
    with executor, pytest.raises(EngineError, match=r"has code \w{12}, not 0123456789ab, as the run has: install the"):
        list(executor.map(parts.square, TASKS))


def test_one_piece_of_work_is_done_elsewhere_and_its_error_comes_out_as_itself(executor: Executor) -> None:
    with executor:
        assert executor.elsewhere
        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(lambda number: executor.run(parts.square, (number,)), (3, 4))) == [9, 16]
        assert executor.run(parts.own_process, ()) != os.getpid()
        with pytest.raises(ShardError, match=r"^part 3 says no"):
            executor.run(parts.refuse, (3,))


def test_a_piece_of_work_that_nobody_wants_any_more_is_ended(executor: Executor, tmp_path: Path) -> None:
    (room := tmp_path / "room").mkdir()
    stop = Event()
    with executor, ThreadPoolExecutor(1) as thread:
        waits = thread.submit(executor.run, parts.note_and_wait, (room, 1, 300.0), stop=stop)
        wait_for(lambda: list(room.iterdir()), "the work to begin")
        (process,) = (int(note.name.partition("-")[2]) for note in room.iterdir())
        stop.set()
        with pytest.raises(WorkerError, match="stopped before its end"):
            waits.result(60)
        wait_for(lambda: not Path(f"/proc/{process}").exists(), "its process to end")


def test_nothing_is_left_of_it(executor: Executor, tmp_path: Path) -> None:
    with executor:
        values = executor.map(parts.square, TASKS, ordered=False)
        next(values)
        values.close()
    assert not list(tmp_path.rglob("*.*"))
