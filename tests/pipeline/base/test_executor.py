"""An executor is a queue: what a function makes of its parts is the same wherever they run."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.base.errors import WorkerError
from pipeline.base.executor import Executor, InProcess, Processes, Shared

TASKS = [(number,) for number in range(20)]


def square_slowly(number: int) -> int:
    time.sleep(0.01 * (number % 3))
    return number * number


def look_up(table: Shared[np.ndarray], place: int) -> tuple[int, int]:
    return int(table.value[place]), os.getpid()


def fail_at(number: int) -> int:
    if number == 3:
        raise KeyError("three")
    return number


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("executor", [InProcess(), Processes(1), Processes(2)])
def test_results_come_in_the_order_of_the_tasks_or_as_they_finish(executor: Executor) -> None:
    with executor:
        expected = [number * number for number in range(20)]
        assert list(executor.map(square_slowly, TASKS)) == expected
        assert sorted(executor.map(square_slowly, TASKS, ordered=False)) == expected
        assert list(executor.map(square_slowly, [])) == []


@pytest.mark.parametrize("executor", [InProcess(), Processes(2)])
def test_a_shared_value_is_the_same_in_every_task(executor: Executor) -> None:
    with executor:
        table = executor.share(np.arange(100, 120))
        found = list(executor.map(look_up, [(table, place) for place in range(20)]))
    assert [value for value, _ in found] == list(range(100, 120))
    assert (os.getpid() in {process for _, process in found}) == (executor.slots == 1)


def test_what_a_task_raises_comes_out(tmp_path: Path) -> None:
    with Processes(2) as executor, pytest.raises(KeyError, match="three"):
        list(executor.map(fail_at, TASKS))
    assert not multiprocessing.active_children(), "no worker outlives the block"


def test_small_work_starts_no_process() -> None:
    with Processes(2) as executor:
        assert list(executor.map(abs, [(-1,)])) == [1]
        assert list(executor.map(abs, [(-1,), (-2,)], worth=False)) == [1, 2]
        assert not multiprocessing.active_children()


def enter_and_leave(room: Path, number: int) -> int:
    """Tasks that are in the room at the same time, this one included."""
    (room / str(number)).touch()
    time.sleep(0.05)
    together = len(list(room.iterdir()))
    (room / str(number)).unlink()
    return together


@pytest.mark.parametrize("ordered", [True, False])
def test_no_more_tasks_run_at_once_than_memory_has_room_for(tmp_path: Path, ordered: bool) -> None:
    tasks = [(tmp_path, number) for number in range(8)]
    with Processes(3) as executor:
        together = list(executor.map(enter_and_leave, tasks, ordered=ordered, most_at_once=2))
        assert (len(together), max(together)) == (8, 2)
        assert len(multiprocessing.active_children()) <= 2
    with Processes(3) as executor:
        assert list(executor.map(enter_and_leave, tasks, ordered=ordered, most_at_once=1)) == [1] * 8
        assert not multiprocessing.active_children(), "one at a time is done in this process"
        assert len(list(executor.map(enter_and_leave, tasks, ordered=ordered, most_at_once=9))) == 8


def wait_for_the_others(room: Path, number: int) -> int:
    """The first task ends once all others have."""
    (room / str(number)).touch()
    deadline = time.monotonic() + 20
    while number == 0 and len(list(room.iterdir())) < len(TASKS):
        assert time.monotonic() < deadline, "tasks wait for one that takes long"
        time.sleep(0.01)
    return number


@pytest.mark.parametrize("ordered", [True, False])
def test_a_task_that_takes_long_stops_no_other(tmp_path: Path, ordered: bool) -> None:
    with Processes(2) as executor:
        results = list(executor.map(wait_for_the_others, [(tmp_path, number) for (number,) in TASKS], ordered=ordered))
    assert (results if ordered else sorted(results)) == list(range(len(TASKS)))


def test_a_worker_does_not_run_the_program_that_starts_it(tmp_path: Path) -> None:
    program = tmp_path / "program"  # as the `dagster` of an environment, it has no ending
    program.write_text(
        "import os.path\n"
        "print('begun')\n"
        "from pipeline.base.executor import Processes\n"
        "with Processes(2) as executor:\n"
        "    print(*executor.map(os.path.join, [('a', 'b'), ('c', 'd')]))\n"
    )
    said = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.split() == ["begun", "a/b", "c/d"]


@pytest.mark.parametrize("begin", ["eat", "functools.partial(functools.partial(eat), 1)"])
def test_a_function_of_the_program_itself_is_refused_by_name(tmp_path: Path, begin: str) -> None:
    (tmp_path / "program.py").write_text(
        "import functools\n"
        "from pipeline.base.executor import Processes\n"
        "def eat(*numbers): return 1\n"
        f"with Processes(2) as executor:\n    list(executor.map({begin}, [(1,), (2,)]))\n"
    )
    words = [sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert "WorkerError: eat is a function of the program itself" in done.stderr


@pytest.mark.fault
def test_a_worker_killed_from_outside_is_reported_as_want_of_memory() -> None:
    with (
        Processes(2, setting="shards.memory_mb") as executor,
        pytest.raises(WorkerError, match=r"lower shards\.memory"),
    ):
        list(executor.map(die, [(1,), (2,)]))


@pytest.mark.fault
def test_workers_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "from pipeline.base.executor import Processes\n"
        "from sleeper import sleep\n"
        "if __name__ == '__main__':\n    with Processes(2) as e:\n        list(e.map(sleep, [(1,), (2,)]))\n"
    )
    (tmp_path / "sleeper.py").write_text(
        "import os, time\ndef sleep(n):\n    print(os.getpid(), flush=True)\n    time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        children = [int(process.stdout.readline()) for _ in range(2)]
        process.kill()
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in children):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
