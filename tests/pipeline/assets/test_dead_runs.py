"""Runs whose process was killed are ended, so that they keep no place in Dagster's queue."""

import socket
import subprocess
import sys

import dagster as dg
import pytest

from pipeline.assets import dead_runs
from pipeline.assets.dead_runs import HOST_TAG, PROCESS_TAG, end_dead_runs, is_dead, this_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart by /proc")
NAME = "from pipeline.assets.dead_runs import this_process; print(this_process(), flush=True); input()"


def run_of(instance, process, status=dg.DagsterRunStatus.STARTED, host=None):
    run = dg.DagsterRun(
        job_name="full_train", status=status, tags={HOST_TAG: host or socket.gethostname(), PROCESS_TAG: process}
    )
    instance.add_run(run)
    return run


@pytest.fixture(scope="module")
def dead():
    """The name of a process that was killed, which was alive as long as it was not."""
    process = subprocess.Popen([sys.executable, "-c", NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    name = process.stdout.readline().strip()
    assert not is_dead(name)
    process.kill()
    process.wait()
    return name


def test_a_process_is_dead_once_it_was_killed_and_not_before(dead):
    assert is_dead(dead)
    assert not is_dead(this_process())


def test_another_process_of_the_same_number_is_not_the_one_that_was_meant():
    machine, boot, namespace, pid, started = this_process().split("/")
    assert is_dead("/".join((machine, boot, namespace, pid, str(int(started) - 1))))


@pytest.mark.parametrize("part", [0, 2])
def test_of_another_machine_or_container_nothing_is_said(dead, part):
    words = dead.split("/")
    words[part] = "another"
    assert not is_dead("/".join(words))


def test_a_machine_that_was_started_anew_runs_nothing_of_before(dead, monkeypatch):
    monkeypatch.setattr(dead_runs, "_place", lambda: ("machine", "second", "pid:[1]"))
    assert is_dead("machine/first/pid:[1]/1/1")
    assert not is_dead("/first/pid:[1]/1/1")  # without a name for the machine it may be another


def test_dead_runs_are_ended_and_the_others_go_on(dead):
    with dg.DagsterInstance.ephemeral() as instance:
        killed = run_of(instance, dead)
        canceled = run_of(instance, dead, dg.DagsterRunStatus.CANCELING)
        alive = run_of(instance, this_process())
        elsewhere = run_of(instance, dead, host="another")
        over = run_of(instance, dead, dg.DagsterRunStatus.SUCCESS)
        assert set(end_dead_runs(instance)) == {killed.run_id, canceled.run_id}
        assert list(end_dead_runs(instance)) == []
        states = [instance.get_run_by_id(run.run_id).status.value for run in (killed, canceled, alive, elsewhere, over)]
        assert states == ["FAILURE", "CANCELED", "STARTED", "STARTED", "SUCCESS"]


def test_a_dead_run_gives_its_place_in_a_pool_back(dead):
    limits = {"concurrency": {"pools": {"default_limit": 1}}}
    with dg.instance_for_test(overrides=limits) as instance:
        run, pools = run_of(instance, dead), instance.event_log_storage
        pools.initialize_concurrency_limit_to_default("training")
        assert pools.claim_concurrency_slot("training", run.run_id, "model").is_claimed
        assert not pools.claim_concurrency_slot("training", "another", "model").is_claimed
        list(end_dead_runs(instance))
        assert pools.claim_concurrency_slot("training", "another", "model").is_claimed


def test_the_sensor_ends_them(dead):
    with dg.DagsterInstance.ephemeral() as instance:
        run = run_of(instance, dead)
        evaluated = dead_runs.sensor()(dg.build_sensor_context(instance))
        assert evaluated.skip_message == f"ended: {run.run_id}"
