"""What is killed under an engine: a worker, a node, the run itself. Nothing is lost, nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.base.errors import EngineError, WorkerError
from pipeline.engine.executors import executor_of
from pipeline.engine.ray_tasks import RayTasks
from pipeline.engine.settings import RayEngine, SlurmEngine
from tests.cluster import parts
from tests.cluster.ray_nodes import RayNodes
from tests.cluster.slurm_nodes import SlurmNodes

pytestmark = pytest.mark.cluster
PATIENCE = 60
RUN = """\
import sys
from pathlib import Path
from pipeline.engine.executors import executor_of
from pipeline.engine.settings import engine_of_environment
from tests.cluster import parts
room = Path(sys.argv[1])
with executor_of(engine_of_environment(), 0, room.parent, setting="workers") as executor:
    list(executor.map(parts.note_and_wait, [(room, number, 5.0) for number in range(12)]))
"""


def wait_for(there: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not there():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def attempts(room: Path) -> list[Path]:
    return [file for file in sorted(room.iterdir()) if not file.name.startswith("done")]


@contextmanager
def once_a_part_runs(room: Path, act: Callable[[int], None]) -> Iterator[None]:
    """Act on the process of the first part that began, in a thread."""

    def look() -> None:
        wait_for(lambda: attempts(room), "no part began")
        act(int(attempts(room)[0].name.split("-")[1]))

    thread = threading.Thread(target=look)
    thread.start()
    yield
    thread.join()


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "room").mkdir()
    return tmp_path / "room"


def test_a_part_whose_ray_worker_is_killed_is_attempted_again(ray_nodes: RayNodes, room: Path) -> None:
    with (
        RayTasks(RayEngine(address=ray_nodes.address)) as executor,
        once_a_part_runs(room, lambda pid: os.kill(pid, signal.SIGKILL)),
    ):
        assert list(executor.map(parts.note_and_wait, [(room, n, 1.0) for n in range(4)])) == [0, 1, 2, 3]
    assert len(attempts(room)) == 5


def test_a_part_whose_ray_workers_are_all_killed_is_said_to_want_memory(ray_nodes: RayNodes, room: Path) -> None:
    with (
        RayTasks(RayEngine(address=ray_nodes.address), setting="shards.memory_mb") as executor,
        pytest.raises(WorkerError, match=r"killed 4 times over one part, .* lower shards\.memory_mb and run the same"),
    ):
        list(executor.map(parts.die, [(1,), (2,)]))


def test_parts_of_a_lost_ray_node_go_to_another(ray_nodes: RayNodes, room: Path) -> None:
    ray_nodes.start(2)
    with RayTasks(RayEngine(address=ray_nodes.address)) as executor:
        assert executor.machines == 3
        with once_a_part_runs(room, lambda pid: ray_nodes.kill(2)):
            tasks = [(room, number, 2.0) for number in range(6)]
            assert list(executor.map(parts.note_and_wait, tasks)) == list(range(6))
        wait_for(lambda: executor.machines == 2, "Ray's notice of the lost node")


def test_ray_leaves_a_runs_signal_handlers_as_they_are(ray_nodes: RayNodes) -> None:
    import ray

    ray.shutdown()
    before = signal.signal(signal.SIGTERM, handler := lambda *_: None)
    try:
        assert RayTasks(RayEngine(address=ray_nodes.address)).slots == 2
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_part_that_no_node_has_room_for_is_refused_before_it_waits(ray_nodes: RayNodes) -> None:
    with (
        RayTasks(RayEngine(address=ray_nodes.address, cpus=3)) as executor,
        pytest.raises(EngineError, match=r"engine\.cpus is 3, and the nodes of the Ray cluster have 1, 1: a part"),
    ):
        list(executor.map(parts.square, [(1,), (2,)]))


def test_a_part_of_a_lost_slurm_node_is_done_by_another_array(
    slurm: SlurmNodes, room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engine.slurm_array.ASK_EVERY", 0.5)
    monkeypatch.setattr("pipeline.engine.slurm_array.LINGER", 0.5)
    with (
        executor_of(SlurmEngine(slots=2), 0, tmp_path, setting="workers") as executor,
        once_a_part_runs(room, lambda pid: os.kill(pid, signal.SIGKILL)),
    ):
        assert list(executor.map(parts.note_and_wait, [(room, n, 1.0) for n in range(4)])) == [0, 1, 2, 3]
    assert len(attempts(room)) == 5, "what had been done was not done again"


def test_arrays_that_leave_parts_undone_are_an_error_with_their_last_words(
    slurm: SlurmNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engine.slurm_array.ASK_EVERY", 0.5)
    monkeypatch.setattr("pipeline.engine.slurm_array.LINGER", 0.5)
    with (
        executor_of(SlurmEngine(slots=2), 0, tmp_path, setting="curation.workers") as executor,
        pytest.raises(WorkerError, match=r"3 arrays of Slurm ended with 2 parts undone.* lower curation\.workers"),
    ):
        list(executor.map(parts.die, [(1,), (2,)]))


def test_what_sbatch_refuses_is_said(slurm: SlurmNodes, tmp_path: Path) -> None:
    engine = SlurmEngine(options=("--partition=nowhere",))
    with (
        executor_of(engine, 0, tmp_path, setting="workers") as executor,
        pytest.raises(EngineError, match=r"sbatch: .*invalid partition specified: nowhere"),
    ):
        list(executor.map(parts.square, [(1,), (2,)]))


@pytest.mark.parametrize("engine", ["ray", "slurm"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_runs_on_when_the_run_is_killed(
    request: pytest.FixtureRequest, room: Path, engine: str, how: signal.Signals
) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if engine == "ray":
        address = request.getfixturevalue("ray_nodes").address
        environment["SQUEEZE_ENGINE"] = f'{{kind: ray, address: "{address}"}}'
    else:
        environment |= request.getfixturevalue("slurm").environment
        environment["SQUEEZE_ENGINE"] = "{kind: slurm, slots: 2}"
    with subprocess.Popen([sys.executable, "-c", RUN, str(room)], env=environment, stderr=subprocess.DEVNULL) as run:
        wait_for(lambda: len(attempts(room)) >= 2, "no parts began")
        run.send_signal(how)
    begun = len(attempts(room))
    if (engine, how) == ("slurm", signal.SIGKILL):
        # nobody was left to cancel the array: its elements see that nobody waits any more
        for sign in room.parent.rglob("alive"):
            os.utime(sign, (1, 1))
        wait_for(lambda: not request.getfixturevalue("slurm").ask("squeue", "--noheader").split(), "an array runs on")
        assert len(attempts(room)) <= begun + 2
    else:
        wait_for(lambda: not any(alive(int(file.name.split("-")[1])) for file in attempts(room)), "a part runs on")
        assert len(attempts(room)) <= begun + 1


def alive(pid: int) -> bool:
    """Whether a worker still is at work: Ray's idle ones are kept for others."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
