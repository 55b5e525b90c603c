"""A program on this machine: its words, its end, its stop."""

import logging
import os
import signal
import time
from pathlib import Path

import pytest

import pipeline
import trainer
from pipeline.launch import local
from pipeline.launch.launcher import Program, Shared
from pipeline.launch.local import LocalLauncher, command
from pipeline.launch.ranks import Batch

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
    words = command(Program("trainer", ("train",), Shared(Batch(32, 8192), 2, "cpu")), LOG)
    assert words[1:] == [
        *("-m", "trainer.launch", "--standalone", "--nproc-per-node=2"),
        *("-m", "trainer", "train"),
    ]


def test_fewer_ranks_than_asked_for_are_said_so_in_the_runs_log(machine, caplog):
    machine(gpus=1)
    with caplog.at_level(logging.INFO, LOG.name):
        words = command(Program("trainer", (), Shared(Batch(32, 8192), 2)), LOG)
    assert "--nproc-per-node=1" in words
    assert [record.getMessage() for record in caplog.records] == [
        "launch.ranks: 2 ranks asked for, 1 GPU: running 1 rank; the batch stays"
    ]
