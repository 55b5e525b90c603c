"""A program on this machine: its words, its end, its stop; and no more ranks than there are devices for."""

import logging
import os
import signal
import time
from pathlib import Path

import pytest

import pipeline
import trainer
from pipeline.launch import local
from pipeline.launch.launcher import Program
from pipeline.launch.local import LocalLauncher, command, ranks_for

LOG = logging.getLogger("test_local_launcher")
TALKS = """\
import os, sys, time
print(sys.argv[1], os.environ["WORD"], flush=True)
sys.exit(3)
"""
STAYS = """\
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75) if sys.argv[1] == "kind" else None)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A module of the given text as a program that prints to a file."""

    def make(text, *arguments, **changes):
        (tmp_path / "told.py").write_text(text)
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        environment = {"PYTHONPATH": path} | changes.pop("environment", {})
        return Program("told", arguments, environment=environment, output=tmp_path / "output.txt", **changes)

    return make


def ready(program):
    while not program.output.exists() or "ready" not in program.output.read_text():
        time.sleep(0.02)


def test_a_program_gets_its_arguments_and_variables_and_leaves_its_status_and_output(program):
    told = program(TALKS, "hello", environment={"WORD": "world"})
    assert [LocalLauncher().start(told, LOG).wait() for _ in range(2)] == [3, 3]
    assert told.output.read_text() == "hello world\n" * 2


def test_a_module_of_the_working_folder_is_not_taken_for_the_program(program, tmp_path, monkeypatch):
    told = program(TALKS, "hello", environment={"WORD": "world"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    Path("told.py").write_text("raise SystemExit('another one')")
    assert LocalLauncher().start(told, LOG).wait() == 3


def test_a_program_has_the_packages_of_this_process(program):
    told = program("import pipeline, trainer; print(pipeline.__file__, trainer.__file__)")
    assert LocalLauncher().start(told, LOG).wait() == 0
    assert told.output.read_text().split() == [pipeline.__file__, trainer.__file__]


def test_a_program_that_runs_is_waited_for_as_long_as_asked_and_stops_when_told(program):
    told = program(STAYS, "kind")
    handle = LocalLauncher().start(told, LOG)
    ready(told)
    assert handle.wait(0.01) is None
    handle.stop()
    assert handle.wait(0) == 75


def test_a_program_that_does_not_stop_is_killed(program, monkeypatch):
    monkeypatch.setattr(local, "STOP_SECONDS", 0.2)
    told = program(STAYS, "stubborn")
    handle = LocalLauncher().start(told, LOG)
    ready(told)
    handle.stop()
    assert handle.wait(0) == -signal.SIGKILL


def test_ranks_are_torchruns_and_a_program_without_is_one_process():
    assert command(Program("trainer", ("train",)), LOG)[1:] == ["-m", "trainer", "train"]
    words = command(Program("trainer", ("train",), ranks=2, device="cpu"), LOG)
    assert words[1:] == [
        *("-m", "trainer.launch", "--standalone", "--nproc-per-node=2"),
        *("-m", "trainer", "train"),
    ]


@pytest.mark.parametrize(
    ("gpus", "device", "asked", "started", "said"),
    [
        (0, "auto", 2, 2, None),
        (0, "cuda", 2, 2, None),  # the trainer says that there is no GPU
        (1, "auto", 1, 1, None),
        (1, "auto", 2, 1, "2 ranks asked for, 1 GPU: running 1 rank; the batch stays"),
        (1, "cuda", 2, 1, "2 ranks asked for, 1 GPU: running 1 rank; the batch stays"),
        (1, "cpu", 2, 2, None),
        (2, "auto", 2, 2, None),
        (2, "auto", 8, 2, "8 ranks asked for, 2 GPUs: running 2 ranks; the batch stays"),
        (2, "auto", 1, 1, None),
        (0, "mps", 2, 1, "2 ranks asked for, 1 MPS device: running 1 rank; the batch stays"),
    ],
)
def test_no_more_ranks_are_started_than_there_are_gpus(monkeypatch, caplog, gpus, device, asked, started, said):
    """Torch's two answers about the machine are replaced."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with caplog.at_level(logging.INFO, LOG.name):
        assert ranks_for(asked, device, LOG) == started
    assert [record.getMessage() for record in caplog.records] == ([f"launch.ranks: {said}"] if said else [])
