"""What a real end by force leaves behind: no process, and a run that goes on as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from trainer.run.checkpoints.checkpoint import newest_checkpoint  # noqa: E402

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux: /proc and PR_SET_PDEATHSIG"),
]

ROOT = Path(__file__).parents[3]
GONE_SECONDS = 20.0
LONG = {"max_steps": 200, "checkpoint_every": 20, "batch_tokens": 64}


class Launched:
    """A run of two ranks, started as the pipeline starts it, from a process of its own that can be killed too."""

    def __init__(self, run: Path, *options: str) -> None:
        self.run = run
        words = [sys.executable, "-m", "trainer.launch", "--standalone", "--nproc-per-node=2", *options]
        words += ["-m", "trainer", "train", "--config", str(run)]
        starter = f"import subprocess, sys; sys.exit(subprocess.run({words!r}).returncode)"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.log = run.with_suffix(".log").open("w+")
        self.starter = subprocess.Popen(
            [sys.executable, "-c", starter], cwd=ROOT, env=environment, stdout=self.log, stderr=self.log
        )

    @property
    def metrics(self) -> Path:
        return self.run.with_suffix("") / "metrics.jsonl"

    def wait_for_step(self, step: int) -> None:
        deadline = time.monotonic() + 120
        while not (self.metrics.exists() and self.metrics.read_text().count("\n") >= step):
            assert time.monotonic() < deadline, self.said()
            assert self.starter.poll() is None, self.said()
            time.sleep(0.02)

    def processes(self) -> dict[str, list[int]]:
        """Living processes of this run: torchrun's and the ranks'."""
        found: dict[str, list[int]] = {"torchrun": [], "rank": []}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                dead = (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            except OSError:
                continue
            if str(self.run) in words and not dead:
                found["torchrun" if "torch.distributed.run" in words or "trainer.launch" in words else "rank"].append(
                    int(entry.name)
                )
        return found

    def assert_gone(self) -> None:
        deadline = time.monotonic() + GONE_SECONDS
        while any(self.processes().values()):
            assert time.monotonic() < deadline, f"still there: {self.processes()}\n{self.said()}"
            time.sleep(0.1)

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def end(self) -> None:
        for pid in [*self.processes()["torchrun"], *self.processes()["rank"]]:
            os.kill(pid, signal.SIGKILL)
        self.starter.kill()
        self.starter.wait()
        self.log.close()


@pytest.fixture
def launch() -> Iterator[Callable[..., Launched]]:
    runs: list[Launched] = []

    def start(run: Path, *options: str) -> Launched:
        runs.append(Launched(run, *options))
        return runs[-1]

    yield start
    for run in runs:
        run.end()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Callable[[Path], Path]:
    """The same run, never interrupted; trained once for all tests here."""
    done: list[Path] = []

    def trained(like: Path) -> Path:
        if not done:
            path = tmp_path_factory.mktemp("reference") / "run.json"
            path.write_text(like.read_text())
            run = Launched(path)
            assert run.starter.wait(timeout=300) == 0, run.said()
            done.append(path)
        return done[0]

    return trained


def assert_same(left: Path, right: Path) -> None:
    first, second = (load_file(run.with_suffix("") / "model.safetensors") for run in (left, right))
    assert all(torch.equal(first[name], second[name]) for name in first)


KILLS = {
    "SIGTERM to torchrun": lambda run: os.kill(run.processes()["torchrun"][0], signal.SIGTERM),
    "SIGINT to torchrun": lambda run: os.kill(run.processes()["torchrun"][0], signal.SIGINT),
    "SIGKILL to torchrun": lambda run: os.kill(run.processes()["torchrun"][0], signal.SIGKILL),
    "SIGKILL to the starter": lambda run: run.starter.kill(),
    "SIGKILL to a rank": lambda run: os.kill(run.processes()["rank"][-1], signal.SIGKILL),
}


@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS)
def test_no_process_is_left_and_the_next_start_ends_with_the_same_weights(
    make_run: Any, launch: Any, reference: Any, kill: Callable[[Launched], None]
) -> None:
    path = make_run("run", **LONG)
    expected = reference(path)
    run = launch(path)
    run.wait_for_step(random.randrange(25, 120))
    kill(run)
    run.assert_gone()
    assert run.starter.wait(timeout=20) != 0
    again = launch(path)
    assert again.starter.wait(timeout=300) == 0, again.said()
    again.assert_gone()
    assert json.loads((path.with_suffix("") / "summary.json").read_text())["resumed_from"]
    assert_same(path, expected)


def test_a_rank_that_dies_is_reported_to_whoever_started_the_run(make_run: Any, launch: Any) -> None:
    path = make_run("run", **LONG)
    run = launch(path)
    run.wait_for_step(5)
    os.kill(run.processes()["rank"][-1], signal.SIGKILL)
    run.assert_gone()
    assert "another rank ended or cannot be reached" in path.with_name("run.json.error").read_text()


ASKED = {
    "SIGHUP to torchrun": ("torchrun", signal.SIGHUP),
    "SIGUSR1 to torchrun": ("torchrun", signal.SIGUSR1),
    "SIGUSR2 to a rank": ("rank", signal.SIGUSR2),
    "SIGTERM to a rank": ("rank", signal.SIGTERM),
}


@pytest.mark.parametrize(("to", "number"), ASKED.values(), ids=ASKED)
def test_whatever_asks_a_run_to_stop_it_saves_and_says_that_it_can_go_on(
    make_run: Any, launch: Any, to: str, number: int
) -> None:
    path = make_run("run", **{**LONG, "checkpoint_every": 1000})
    run = launch(path)
    run.wait_for_step(10)
    os.kill(run.processes()[to][-1], number)
    assert run.starter.wait(timeout=60) == 75, run.said()
    run.assert_gone()
    assert newest_checkpoint(path.with_suffix("") / "checkpoints") is not None
    assert json.loads((path.with_suffix("") / "summary.json").read_text())["state"] == "interrupted"


def test_a_signal_that_nohup_has_ignored_ends_nothing(make_run: Any, launch: Any) -> None:
    path = make_run("run", **LONG)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run = launch(path)
    finally:
        signal.signal(signal.SIGHUP, before)
    run.wait_for_step(10)
    for pid in [*run.processes()["torchrun"], *run.processes()["rank"]]:
        os.kill(pid, signal.SIGHUP)
    assert run.starter.wait(timeout=120) == 0, run.said()


def test_one_rank_that_is_asked_ends_the_evaluation_of_all_within_a_second(
    make_run: Any, run_shards: Any, tmp_path: Path, launch: Any
) -> None:
    path = make_run("run", validate=True, max_steps=5)
    draw = random.Random(3)
    texts = [[*(draw.randrange(63) for _ in range(400)), 63] for _ in range(20_000)]
    large = run_shards(tmp_path / "large", 0, texts, stage="numbers/en")
    settings = json.loads(path.read_text())
    settings["data"]["validation"][0]["path"] = str(large)
    path.write_text(json.dumps(settings))
    run = launch(path)
    run.wait_for_step(5)
    time.sleep(1.0)
    began = time.monotonic()
    os.kill(run.processes()["rank"][-1], signal.SIGTERM)
    while any(run.processes()["rank"]):
        assert time.monotonic() - began < 10, run.said()
        time.sleep(0.05)
    assert run.starter.wait(timeout=60) == 75, run.said()
    assert (path.with_suffix("") / "checkpoints" / "step_00000005").exists()


def listening(pids: list[int]) -> list[str]:
    """Addresses on which processes listen, as /proc has them: 0100007F is 127.0.0.1."""
    mine = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                mine.add(str(file.readlink()))
    rows = [row.split() for kind in ("tcp", "tcp6") for row in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in mine]


def test_nothing_listens_for_other_machines_while_one_trains(make_run: Any, launch: Any) -> None:
    run = launch(make_run("run", **LONG))
    run.wait_for_step(5)
    there = listening([*run.processes()["torchrun"], *run.processes()["rank"]])
    assert there  # gloo's, through which the ranks talk
    assert set(there) == {"0100007F"}


def test_however_often_torchrun_is_asked_it_outlives_its_ranks(make_run: Any, launch: Any) -> None:
    path = make_run("run", **{**LONG, "checkpoint_every": 1000, "max_steps": 5000})
    run = launch(path)
    run.wait_for_step(10)
    (torchrun,) = run.processes()["torchrun"]
    stuck = run.processes()["rank"][-1]
    os.kill(stuck, signal.SIGSTOP)  # so that no rank ends before the second request
    for _ in range(3):
        os.kill(torchrun, signal.SIGTERM)
        time.sleep(1.0)
        assert run.starter.poll() is None, run.said()
        assert len(run.processes()["rank"]) == 2
    os.kill(stuck, signal.SIGCONT)
    assert run.starter.wait(timeout=60) == 75, run.said()
    assert not run.processes()["rank"]


def test_torchrun_restarts_the_ranks_and_they_go_on(make_run: Any, launch: Any, reference: Any) -> None:
    path = make_run("run", **LONG)
    expected = reference(path)
    run = launch(path, "--max-restarts=2")
    run.wait_for_step(45)
    os.kill(run.processes()["rank"][0], signal.SIGKILL)
    assert run.starter.wait(timeout=300) == 0, run.said()
    assert json.loads((path.with_suffix("") / "summary.json").read_text())["resumed_from"]
    assert_same(path, expected)


def test_two_kills_while_a_checkpoint_is_written_lose_nothing(make_run: Any, launch: Any) -> None:
    path = make_run("run", **{**LONG, "checkpoint_every": 1, "keep_checkpoints": 1})
    for step in (10, 40):
        run = launch(path)
        run.wait_for_step(step)
        for pid in run.processes()["rank"]:
            os.kill(pid, signal.SIGKILL)
        run.assert_gone()
    run = launch(path)
    assert run.starter.wait(timeout=300) == 0, run.said()
    resumed = json.loads((path.with_suffix("") / "summary.json").read_text())["resumed_from"]
    assert len(resumed) == 2
    assert re.search(r"damaged", run.said()) is None
    steps = [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()]
    assert steps == list(range(1, 201))
