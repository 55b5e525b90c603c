"""How training is launched is validated as it is read, decides no result, and chooses the launcher."""

import re

import pytest
from pydantic import ValidationError

from pipeline.base.settings import identity_of
from pipeline.launch.choice import launcher_of
from pipeline.launch.local import LocalLauncher
from pipeline.launch.settings import LaunchSettings
from pipeline.launch.supervised import SupervisedLauncher

SSH = {"template": "ssh {host} {program}", "hosts": ["a", "b"]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"nodes": 2}, "nodes is 2, but kind is local, which is one machine: set kind to command"),
        ({"kind": "command"}, "kind is command, which needs command.template, such as 'ssh {host} {program}'"),
        (
            {"kind": "command", "nodes": 3, "command": SSH},
            "command.template names {host}, and command.hosts has 2 of 3",
        ),
        (
            {"kind": "command", "command": {"template": "ssh {machine} {program}"}},
            "{machine} is none of {node}, {host}, {program}",
        ),
        ({"kind": "command", "command": {"template": "ssh {host}"}}, "it must name {program}"),
        ({"kind": "command", "command": {"template": "ssh {host {program}"}}, "braces that do not match"),
        ({"unattended_hours": 4}, "unattended_hours is of a detached trainer: set detached to true"),
        ({"attempts": 0}, "greater than or equal to 1"),
        ({"kind": "pbs"}, "Input should be 'local', 'command'"),
    ],
)
def test_what_cannot_be_launched_is_refused(wrong, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        LaunchSettings(**wrong)


def test_no_word_of_it_is_in_a_fingerprint():
    everything = LaunchSettings(
        kind="command",
        nodes=2,
        detached=True,
        unattended_hours=1,
        attempts=3,
        interface="eth0",
        command=SSH,
        slurm={"partition": "gpu"},
    )
    assert identity_of(everything) == {}


@pytest.mark.parametrize("settings", [None, LaunchSettings(), LaunchSettings(ranks=4, threads_per_rank=1)])
def test_one_process_of_this_machine_needs_nobody_to_look_after_it(settings):
    assert isinstance(launcher_of(settings), LocalLauncher)


@pytest.mark.parametrize(
    "settings",
    [{"detached": True}, {"attempts": 2}, {"kind": "slurm"}, {"kind": "command", "nodes": 2, "command": SSH}],
)
def test_whatever_outlives_a_run_or_is_started_again_is_looked_after(settings):
    assert isinstance(launcher_of(LaunchSettings(**settings)), SupervisedLauncher)
