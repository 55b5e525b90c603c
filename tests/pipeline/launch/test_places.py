"""What a place runs for each node, and how it finds out what has become of it."""

import os
import shlex
import subprocess
import sys
import time

import pytest

from pipeline.base.errors import LaunchError
from pipeline.launch.node import own_address
from pipeline.launch.places import slurm
from pipeline.launch.places.command import by_command
from pipeline.launch.places.ray_cluster import RayPlace
from pipeline.launch.places.slurm import SlurmPlace, state_of
from pipeline.launch.run_folder import RunFolder
from pipeline.launch.settings import CommandSettings, RaySettings, SlurmSettings


@pytest.fixture
def attempt(tmp_path):
    return RunFolder(tmp_path / "a run's folder").new_attempt()


def written(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def test_a_template_gets_the_line_for_a_shell_as_one_word(attempt, tmp_path):
    written(tmp_path / "remote", f'for word in "$@"; do echo "[$word]"; done > {tmp_path}/"$1"; exit 3')
    settings = CommandSettings(template=f"{tmp_path}/remote {{host}}-{{node}} {{program}}", hosts=("a", "b"))
    placed = by_command(settings, 2).start(attempt)
    while len(gone := placed.gone()) < 2:
        time.sleep(0.01)
    assert gone == {0: 3, 1: 3}
    host, line = (tmp_path / "b-1").read_text().splitlines()
    assert host == "[b-1]"
    words = shlex.split(line[1:-1])
    assert words[:2] == ["exec", "env"]
    assert words[-5:] == [sys.executable, "-m", "pipeline.launch.node", str(attempt.folder), "1"]


def test_a_command_that_is_not_there_is_named(attempt):
    with pytest.raises(LaunchError, match=r"launch\.command: no-such-ssh cannot be run here"):
        by_command(CommandSettings(template="no-such-ssh {program}"), 1).start(attempt)


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Slurm's commands as scripts that note how they were called; squeue says what `state` has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "squeue", "scancel"):
        written(folder / name, f'echo "{name} $*" >> {tmp_path}/called; . {tmp_path}/{name}.sh')
    (tmp_path / "sbatch.sh").write_text(f"cat > {tmp_path}/script; echo 41")
    (tmp_path / "squeue.sh").write_text("echo RUNNING")
    (tmp_path / "scancel.sh").write_text(f"echo 'echo COMPLETED' > {tmp_path}/squeue.sh")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(slurm, "ASK_SECONDS", 0.0)
    return tmp_path


def test_a_job_of_slurms_has_a_task_a_node_with_the_options_that_were_asked_for(attempt, commands):
    place = SlurmPlace(SlurmSettings(partition="gpu", time="1:00:00", options=("--gpus-per-node=8",)), 2)
    placed = place.start(attempt)
    called = (commands / "called").read_text()
    for word in ("--nodes=2", "--ntasks-per-node=1", "--partition=gpu", "--time=1:00:00", "--gpus-per-node=8"):
        assert f" {word}" in called
    script = (commands / "script").read_text()
    assert script.startswith("#!/bin/sh\nexec srun ")
    line = shlex.split(script)[-1]
    assert shlex.split(line)[-2:] == [str(attempt.folder), "SLURM_NODEID"]
    assert attempt.placed() == {"job": "41"}
    assert placed.gone() == {}
    placed.kill()
    assert placed.gone() == {0: 0, 1: 0}
    assert "scancel 41" in (commands / "called").read_text()


@pytest.mark.parametrize(
    ("says", "state"),
    [
        ("echo PENDING", "PENDING"),
        ("echo FAILED", ""),
        ("true", ""),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", ""),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", None),
    ],
)
def test_a_job_is_over_only_where_slurm_says_so(commands, says, state):
    (commands / "squeue.sh").write_text(says)
    assert state_of("41") == state


def test_what_a_killed_supervisor_has_submitted_is_cancelled(attempt, commands):
    place = SlurmPlace(SlurmSettings(), 2)
    place.start(attempt)
    place.clear(attempt)
    assert "scancel 41" in (commands / "called").read_text()


def test_a_refusal_of_sbatch_is_told_in_its_words(attempt, commands):
    (commands / "sbatch.sh").write_text("echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    with pytest.raises(LaunchError, match=r"sbatch refused the job: sbatch: error: invalid partition specified: gpu"):
        SlurmPlace(SlurmSettings(partition="gpu"), 1).start(attempt)


def test_no_slurm_is_said_so(attempt, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError()))
    with pytest.raises(LaunchError, match=r"launch\.kind is slurm, and there is no sbatch on this machine"):
        SlurmPlace(SlurmSettings(), 1).start(attempt)


def test_a_node_is_reached_through_the_interface_that_is_named():
    assert own_address("lo") == ("lo", "127.0.0.1")
    name, address = own_address(None)
    assert own_address(name) == (name, address)
    with pytest.raises(LaunchError, match=r"launch\.interface is 'eth99', which .* has not, .*; it has .*lo"):
        own_address("eth99")


def test_nodes_of_a_ray_need_ray(attempt, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LaunchError, match=r"^launch\.kind: ray needs Ray: pip install 'squeeze-gpt\[ray\]'"):
        RayPlace(RaySettings(), 2).start(attempt)
