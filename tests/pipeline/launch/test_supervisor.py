"""All nodes or none: how one ends decides what becomes of the others, and what the run is started again for."""

import dataclasses
import json
import time

import pytest

from pipeline.launch import supervisor as module
from pipeline.launch.run_folder import Attempt, Job, NodeState, RunFolder
from pipeline.launch.settings import LaunchSettings
from pipeline.launch.supervisor import Supervisor, status_of_nodes


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "PEER_SECONDS", 0.05)
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    command = {"template": "sh -c {program}"}
    launch = LaunchSettings.model_validate({"kind": "command", "nodes": 2, "lost_seconds": 0.3, "command": command})
    folder.write_job(Job("trainer", ["train"], {}, launch, 4, 64, "cpu"))
    return folder


class Script:
    """A place whose nodes say what a test has written for each attempt: {node: [(status, said) or None, ...]}."""

    def __init__(self, *attempts, checkpoints=()):
        self.attempts, self.checkpoints = list(attempts), list(checkpoints)
        self.started, self.killed, self.cleared = [], [], []

    def start(self, attempt):
        self.attempt, self.now = attempt, self.attempts.pop(0)
        self.started.append(attempt.folder.name)
        self.asked = 0
        if self.checkpoints:
            (attempt.run.out / "checkpoints" / f"step_{self.checkpoints.pop(0):08d}").mkdir(parents=True)
        return self

    def gone(self):
        self.asked += 1
        for node, states in self.now.items():
            if self.asked < len(states) + 1 and (state := states[self.asked - 1]) is not None:
                status, said = state if isinstance(state, tuple) else (state, "")
                self.attempt.write_node(node, NodeState(f"{node}{self.asked}", "host", status=status, said=said))
        if self.attempt.asked_to_stop():
            for node in self.now:
                if (state := self.attempt.node(node)) is None or state.status is None:
                    self.attempt.write_node(node, NodeState("last", "host", status=75))
        return {}

    def kill(self):
        self.killed.append(self.attempt.folder.name)

    def clear(self, attempt):
        self.cleared.append(attempt.folder.name)


ALIVE = (None, "")


def supervised(folder, place, *, stopped=False, **changes):
    job = folder.job()
    folder.write_job(dataclasses.replace(job, launch=job.launch.model_copy(update=changes)))
    if stopped:
        folder.ask_to_stop()
    supervisor = Supervisor(folder)
    supervisor.place = place
    return supervisor, supervisor.run()


def test_nodes_that_end_well_end_the_run(folder):
    _, end = supervised(folder, Script({0: [ALIVE, 0], 1: [0]}))
    assert (end.status, end.said) == (0, "")
    assert folder.attempts() == []


def test_the_others_are_asked_to_stop_where_one_ends_alone(folder):
    _, end = supervised(folder, Script({0: [ALIVE], 1: [(-9, "")]}))
    assert (end.status, end.said) == (1, "node 1 ended with status -9")


def test_a_node_that_falls_silent_is_lost(folder):
    _, end = supervised(folder, Script({0: [0], 1: [ALIVE]}))
    assert (end.status, end.said) == (1, "nothing is heard of node 1 any more")


@pytest.mark.parametrize(("status", "seconds"), [(-9, 0.0), (0, 0.3)])
def test_a_node_whose_process_is_gone_is_lost_at_once_unless_its_word_may_be_on_its_way(folder, status, seconds):
    place = Script({0: [0], 1: [None]})
    said = place.gone
    place.gone = lambda: said() | {1: status}
    began = time.monotonic()
    _, end = supervised(folder, place)
    assert (end.status, time.monotonic() - began > 0.25) == (1, seconds > 0)


def test_a_node_that_has_not_begun_is_waited_for(folder, monkeypatch):
    place = Script({0: [None] * 60 + [0], 1: [None] * 60 + [0]})  # longer than the silence that counts, as in a queue
    _, end = supervised(folder, place)
    assert end.status == 0


def test_a_lost_node_starts_all_of_them_again_as_often_as_is_allowed(folder):
    lost = {0: [1], 1: [1]}
    place = Script(lost, lost, lost)
    _, end = supervised(folder, place, attempts=3)
    assert end.status == 1
    assert len(set(place.started)) == 3
    assert folder.log.read_text().count("starting again from step 0") == 2


def test_attempts_that_get_to_another_checkpoint_are_not_counted(folder):
    lost = {0: [1], 1: [1]}
    place = Script(lost, lost, lost, {0: [0], 1: [0]}, checkpoints=[10, 20, 30, 40])
    _, end = supervised(folder, place, attempts=2)
    assert end.status == 0
    assert len(place.started) == 4


def test_settings_that_cannot_work_are_not_tried_again(folder):
    place = Script({0: [(2, "launch.interface is 'eth9'")], 1: [75]})
    _, end = supervised(folder, place, attempts=3)
    assert (end.status, end.said) == (2, "launch.interface is 'eth9'")


def test_a_run_that_is_asked_to_stop_is_not_started_again(folder):
    place = Script({0: [ALIVE], 1: [ALIVE]})
    _, end = supervised(folder, place, stopped=True, attempts=3)
    assert (end.status, end.said) == (75, "stopped")


def test_nodes_that_do_not_stop_are_ended_by_force(folder, monkeypatch):
    place = Script({0: [ALIVE], 1: [ALIVE]})
    monkeypatch.setattr(place, "gone", dict)
    _, end = supervised(folder, place, stopped=True)
    assert end.status == 1
    assert place.killed


def test_a_trainer_that_nobody_attends_ends_after_a_while(folder):
    place = Script({0: [ALIVE] * 1000, 1: [ALIVE] * 1000})
    _, end = supervised(folder, place, detached=True, unattended_hours=0.1 / 3600)
    assert end.status == 75
    assert "nobody was attached to the trainer for 2.77778e-05 hours (launch.unattended_hours)" in end.said


def test_what_a_killed_supervisor_left_is_ended_first(folder):
    old = folder.new_attempt()
    old.write_node(0, NodeState("1", "host"))
    old.write_node(1, NodeState("1", "host", status=75))
    place = Script({0: [0], 1: [0]})
    began = time.monotonic()
    _, end = supervised(folder, place)
    assert time.monotonic() - began > 0.3  # node 0 might have been alive
    assert place.cleared == [old.folder.name]
    assert end.status == 0


def test_a_node_whose_attempt_is_over_says_nothing_and_stops(tmp_path):
    attempt = Attempt(tmp_path / "launch" / "attempt_1")
    attempt.write_node(0, NodeState("1", "host"))
    assert attempt.asked_to_stop()
    assert not attempt.folder.exists()


@pytest.mark.parametrize(
    ("statuses", "status"),
    [([0, 0], 0), ([0, 75], 75), ([75, 1], 1), ([-9, 75], 1), ([1, 2], 2), ([0], 1), ([], 1)],
)
def test_what_the_nodes_say_together(statuses, status):
    assert status_of_nodes(statuses, 2) == status


def test_a_half_written_word_is_no_word(folder):
    attempt = folder.new_attempt()
    (attempt.folder / "node_0.json").write_text(json.dumps({"beat": "1"})[:-1])
    assert attempt.node(0) is None
