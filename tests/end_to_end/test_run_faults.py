"""A run that is stopped or killed while it trains leaves no process behind, and the next one goes on from there."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1800)]
BIN = Path(sys.executable).parent
LONG = ("tokens_per_epoch: 24_000", "tokens_per_epoch: 400_000")
PATIENCE = 400.0
AGENT = "trainer.launch"  # torchrun


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


def started(project, profile):
    """A full_train, whose terminal is the file run.log."""
    with (project.folder / "run.log").open("w") as log:
        return subprocess.Popen(
            [str(BIN / "dagster"), "job", "execute", "-j", "full_train"],
            cwd=project.folder,
            env=project.environment(profile, SQUEEZE_LOG_LEVEL="DEBUG"),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


@pytest.fixture
def training(fresh_project, request):
    """A full_train that has written its first checkpoint: (project, its profile, dagster's process)."""
    project = fresh_project
    profile = project.variant("long", LONG, *getattr(request, "param", ()))
    run = started(project, profile)

    def checkpoint():
        assert run.poll() is None, "the run ended before it trained"
        return next(project.folder.glob(".squeeze/model/.building-*/checkpoints/*/"), None)

    wait_for(checkpoint, "a checkpoint")
    yield project, profile, run
    for pid in processes(project.folder):
        os.kill(pid, signal.SIGKILL)


def trainers(project):
    return {pid: words for pid, words in processes(project.folder).items() if "run.json" in words}


def resumed_from(project, profile, **more):
    project.full_train(profile, **more)
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
    (torchrun,) = [pid for pid, words in trainers(project).items() if AGENT in words]
    os.kill(torchrun, signal.SIGKILL)
    run.wait(PATIENCE)
    assert run.returncode != 0
    wait_for(lambda: not trainers(project), "the end of every trainer process")
    assert resumed_from(project, profile)


def test_one_rank_is_killed(training):
    project, profile, run = training
    ranks = [pid for pid, words in trainers(project).items() if AGENT not in words]
    os.kill(max(ranks), signal.SIGKILL)
    run.wait(PATIENCE)
    assert run.returncode != 0
    wait_for(lambda: not trainers(project), "the end of every trainer process")
    assert resumed_from(project, profile)


AT_ONCE = ("launch: {ranks: 2, threads_per_rank: 1}", "launch: {ranks: 2, threads_per_rank: 1}\nassets_at_once: 2")
"""Each asset in a process of its own."""


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("whose", ["the run", "the asset"])
@pytest.mark.parametrize("training", [[AT_ONCE]], indirect=True)
def test_with_several_assets_at_once_a_process_is_killed(training, whose):
    project, profile, run = training
    (torchrun,) = [pid for pid, words in trainers(project).items() if AGENT in words]
    asset = parent(torchrun)
    assert asset != run.pid
    os.kill(run.pid if whose == "the run" else asset, signal.SIGKILL)
    run.wait(PATIENCE)
    assert run.returncode != 0
    wait_for(lambda: not trainers(project), "the end of every trainer process")
    wait_for(lambda: not Path(f"/proc/{asset}").exists(), "the end of the asset's process")
    assert resumed_from(project, profile, SQUEEZE_ASSETS_AT_ONCE="1")  # in one process: faster, and no other artifacts


DETACHED = ("launch: {ranks: 2, threads_per_rank: 1}", "launch: {ranks: 2, threads_per_rank: 1, detached: true}")
"""A trainer that goes on where its run is killed."""


@pytest.mark.parametrize("training", [[DETACHED]], indirect=True)
def test_a_detached_trainer_outlives_dagster_and_the_next_run_attaches_to_it(training):
    project, profile, run = training
    run.kill()
    run.wait(PATIENCE)
    (metrics,) = project.folder.glob(".squeeze/model/.building-*/metrics.jsonl")
    steps = metrics.read_text().count("\n")
    wait_for(lambda: metrics.read_text().count("\n") > steps, "a step after the death of Dagster")
    ranks = [pid for pid, words in trainers(project).items() if "-m trainer " in words and "launch" not in words]
    assert len(ranks) == 2
    for pid in ranks:  # so that they are there still when another run comes, however long that takes
        os.kill(pid, signal.SIGSTOP)
    project.run("squeeze", "gc", "--unfinished", "--yes", profile=profile)
    assert metrics.exists()
    again = started(project, profile)
    wait_for(lambda: "attached to it" in (project.folder / "run.log").read_text(), "the attaching of a new run")
    for pid in ranks:
        os.kill(pid, signal.SIGCONT)
    assert again.wait(PATIENCE) == 0, (project.folder / "run.log").read_text()[-4000:]
    (manifest,) = project.folder.glob(".squeeze/model/*/manifest.json")
    content = json.loads(manifest.read_text())
    assert content["summary"]["run"]["resumed_from"] == []
    assert not [name for name in content["files"] if name.startswith("launch")]
    assert not trainers(project)


@pytest.mark.parametrize("training", [[DETACHED]], indirect=True)
def test_a_detached_trainer_is_stopped_with_its_run(training):
    project, profile, run = training
    run.send_signal(signal.SIGTERM)
    run.wait(PATIENCE)
    wait_for(lambda: not trainers(project), "the end of every trainer process")
    assert resumed_from(project, profile)
