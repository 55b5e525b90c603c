"""A run that is stopped or killed while it trains leaves no process behind, and the next one goes on from there."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.fault
BIN = Path(sys.executable).parent
LONG = ("tokens_per_epoch: 24_000", "tokens_per_epoch: 400_000")
PATIENCE = 120.0


def processes(folder):
    """{pid: command line} of every living process that has `folder` in its command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            continue
        if entry.name.isdigit() and str(folder) in words and state != "Z" and int(entry.name) != os.getpid():
            found[int(entry.name)] = words
    return found


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen in {PATIENCE} s")


@pytest.fixture
def training(fresh_project):
    """A full_train that has written its first checkpoint: (project, dagster's process, its metrics file)."""
    project = fresh_project
    profile = project.variant("long", LONG)
    run = subprocess.Popen(
        [str(BIN / "dagster"), "job", "execute", "-j", "full_train"],
        cwd=project.folder,
        env=project.environment(profile),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def checkpoint():
        assert run.poll() is None, "the run ended before it trained"
        return next(project.folder.glob(".squeeze/model/.building-*/checkpoints/*/"), None)

    wait_for(checkpoint, "a checkpoint")
    yield project, profile, run
    for pid in processes(project.folder):
        os.kill(pid, signal.SIGKILL)


def trainers(project):
    return {pid: words for pid, words in processes(project.folder).items() if "run.json" in words}


def resumed_from(project, profile):
    project.full_train(profile)
    manifest = next(project.folder.glob(".squeeze/model/*/manifest.json"))
    return json.loads(manifest.read_text())["summary"]["run"]["resumed_from"]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_steps_process_ends_by_a_signal(training, sent):
    project, profile, run = training
    assert len(trainers(project)) >= 3  # torchrun and two ranks
    run.send_signal(sent)
    run.wait(PATIENCE)
    assert run.returncode != 0
    wait_for(lambda: not trainers(project), "the end of every trainer process")
    assert resumed_from(project, profile)


def test_torchrun_is_killed(training):
    project, profile, run = training
    (torchrun,) = [pid for pid, words in trainers(project).items() if "torch.distributed.run" in words]
    os.kill(torchrun, signal.SIGKILL)
    run.wait(PATIENCE)
    assert run.returncode != 0
    wait_for(lambda: not trainers(project), "the end of every trainer process")
    assert resumed_from(project, profile)


def test_one_rank_is_killed(training):
    project, profile, run = training
    ranks = [pid for pid, words in trainers(project).items() if "torch.distributed.run" not in words]
    os.kill(max(ranks), signal.SIGKILL)
    run.wait(PATIENCE)
    assert run.returncode != 0
    wait_for(lambda: not trainers(project), "the end of every trainer process")
    assert resumed_from(project, profile)
