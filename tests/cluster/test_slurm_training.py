"""Training as a job of Slurm's over two nodes: lost nodes, scancel, a stop, and the weights of an undisturbed run."""

import os
import signal

import pytest

from tests.cluster.test_nodes import TWO_NODES, launched
from tests.cluster.training_run import Run, wait_for

pytestmark = pytest.mark.cluster
SLURM = {name: value for name, value in TWO_NODES.items() if name != "command"} | {"kind": "slurm"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, shards):
    """Weights of the same run on two nodes without Slurm."""
    run = Run(tmp_path_factory.mktemp("undisturbed") / "run", shards)
    assert launched(run, TWO_NODES).wait() == 0, run.said()
    return run.weights


def jobs(slurm):
    return slurm.ask("squeue", "--noheader", "--format=%i").split()


LOSSES = {
    "the agent of a node is killed": lambda run, slurm: os.kill(run.parts("agent")[-1], signal.SIGKILL),
    "the job is cancelled": lambda run, slurm: slurm.ask("scancel", *jobs(slurm)),
}


@pytest.mark.parametrize("lost", LOSSES.values(), ids=LOSSES)
def test_a_job_that_ends_early_is_submitted_again_and_goes_on(make_run, slurm, undisturbed, lost):
    run = make_run()
    handle = launched(run, SLURM, attempts=2)
    run.reach(25)
    lost(run, slurm)
    assert handle.wait() == 0, run.said()
    assert run.summary["resumed_from"], run.said()
    assert run.weights == undisturbed
    wait_for(lambda: not jobs(slurm), "an empty queue")
    run.assert_gone()


def test_a_run_that_is_stopped_leaves_no_job(make_run, slurm):
    run = make_run(max_steps=5000, checkpoint_every=1000)
    handle = launched(run, SLURM, attempts=3)
    run.reach(10)
    handle.stop()
    assert handle.wait() == 75, run.said()
    assert run.summary["state"] == "interrupted"
    wait_for(lambda: not jobs(slurm), "an empty queue")
    run.assert_gone()
