"""Every engine keeps the executor's promises: results, order, errors, shared values, bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import EngineError, ShardError
from pipeline.base.executor import Executor
from pipeline.engine import same_code
from pipeline.engine.executors import executor_of
from pipeline.engine.settings import RayEngine, SlurmEngine
from tests.cluster import parts

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


def test_nothing_is_left_of_it(executor: Executor, tmp_path: Path) -> None:
    with executor:
        values = executor.map(parts.square, TASKS, ordered=False)
        next(values)
        values.close()
    assert not list(tmp_path.rglob("*.*"))
