"""A handle on a trainer that somebody else has started: its words, its end, and a request to stop it."""

import contextlib
import logging
import subprocess
import sys
import textwrap
import time

import pytest

from pipeline.base.held import stands_on
from pipeline.launch import supervised
from pipeline.launch.launcher import Program, Shared
from pipeline.launch.ranks import Batch
from pipeline.launch.run_folder import Exit, RunFolder
from pipeline.launch.settings import LaunchSettings
from pipeline.launch.supervised import SupervisedLauncher, running_in

LOG = logging.getLogger("test_attached")
HOLDS = textwrap.dedent("""
    import os, sys, time
    from pathlib import Path
    from pipeline.base.lock import exclusive
    from pipeline.launch.run_folder import Exit, RunFolder
    folder = RunFolder(Path(sys.argv[1]))
    with exclusive(folder.lock, "training"):
        folder.write_supervisor(os.getpid())
        while not folder.asked_to_stop():
            time.sleep(0.02)
        if sys.argv[2] == "stubborn":
            time.sleep(60)
        folder.write_exit(Exit(75, "stopped"))
""")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(supervised, "POLL_SECONDS", 0.02)
    return RunFolder(tmp_path)


@contextlib.contextmanager
def supervisor(folder, manner="kind"):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder.out), manner])
    while folder.supervisor_here() is None:
        time.sleep(0.01)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_where_nothing_runs_there_is_nothing_to_attach_to(folder):
    assert running_in(folder.out, LOG) is None
    folder.write_exit(Exit(0))
    assert running_in(folder.out, LOG) is None


def test_what_a_trainer_says_is_logged_and_it_is_seen_to_be_attended(folder, caplog):
    folder.path.mkdir()
    folder.log.write_text("10:00:00 said before\n")
    with supervisor(folder), caplog.at_level(logging.DEBUG, LOG.name):
        handle = running_in(folder.out, LOG)
        assert handle.wait(0) is None
        assert folder.attended()
        with folder.log.open("a") as file:
            file.write("10:00:01 step 1\n[Gloo] connected\n10:00:02 half a li")
        assert handle.wait(0.1) is None
        handle.stop()
        assert handle.wait() == 75
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said[:3] == [("INFO", "step 1"), ("DEBUG", "[Gloo] connected"), ("WARNING", "stopped")]


def test_a_supervisor_that_was_killed_leaves_an_error(folder, caplog):
    with supervisor(folder) as process:
        handle = running_in(folder.out, LOG)
        process.kill()
        assert handle.wait() == 1
    assert "the supervisor of the trainer was killed" in caplog.text


def test_a_supervisor_that_does_not_stop_is_killed(folder, monkeypatch):
    monkeypatch.setattr(supervised, "STOP_SECONDS", 0.2)
    with supervisor(folder, "stubborn") as process:
        running_in(folder.out, LOG).stop()
        assert process.wait(10) == -9


def test_an_earlier_runs_end_is_no_word_about_this_one(folder, monkeypatch):
    folder.ask_to_stop()
    folder.write_exit(Exit(0))
    shared = Shared(Batch(4, 64), 1, "cpu")
    program = Program("trainer", ("train",), shared, folder=folder.out, stands_on={"documents": "b" * 32})
    monkeypatch.setattr(sys, "executable", "/bin/false")  # a supervisor that does not come up
    handle = SupervisedLauncher(LaunchSettings(detached=True)).start(program, LOG)
    assert handle.wait() == 1
    assert not folder.asked_to_stop()
    assert folder.exit() is None
    assert stands_on(folder.out) == {"documents": "b" * 32}
