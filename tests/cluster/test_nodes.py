"""Training on nodes that are commands: whatever is killed, nothing is lost but steps since a checkpoint."""

import logging
import os
import signal
from pathlib import Path

import pytest

from pipeline.launch.choice import launcher_of
from pipeline.launch.launcher import Program, Shared
from pipeline.launch.ranks import Batch
from pipeline.launch.settings import LaunchSettings
from tests.cluster.training_run import Run

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux: /proc and PR_SET_PDEATHSIG"),
]
LOG = logging.getLogger("test_nodes")
BARE = f"env -i PATH={os.environ['PATH']} sh -c {{program}}"
"""A node that knows nothing of this process's environment."""
TWO_NODES = {
    "kind": "command",
    "nodes": 2,
    "ranks": 1,
    "threads_per_rank": 1,
    "interface": "lo",
    "lost_seconds": 20,
    "command": {"template": BARE},
}


def program(run):
    shared = Shared(Batch(4, 64), 1, "cpu")
    arguments = ("train", "--config", str(run.config))
    return Program("trainer", arguments, shared, {"OMP_NUM_THREADS": "1"}, folder=run.out)


def launched(run, **changes):
    return launcher_of(LaunchSettings(**TWO_NODES | changes)).start(program(run), LOG)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, shards):
    """Weights of the same run on two nodes, with nothing killed."""
    run = Run(tmp_path_factory.mktemp("undisturbed") / "run", shards)
    assert launched(run).wait() == 0, run.said()
    run.assert_gone()
    return run.weights


def kill(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def whole_node(run):
    """A node with all that runs on it: the oldest of each kind, as they were started one after the other."""
    return [min(run.parts(kind)) for kind in ("node", "agent", "rank")]


KILLS = {
    "an agent": lambda run: kill(run.parts("agent")[0]),
    "a rank": lambda run: kill(run.parts("rank")[-1]),
    "a whole node": lambda run: kill(*whole_node(run)),
}


@pytest.mark.parametrize("killed", KILLS.values(), ids=KILLS)
def test_a_run_that_loses_a_part_goes_on_by_itself(make_run, undisturbed, killed):
    run = make_run()
    handle = launched(run, attempts=2)
    run.reach(25)
    killed(run)
    assert handle.wait() == 0, run.said()
    assert run.summary["resumed_from"], run.said()
    assert run.weights == undisturbed
    run.assert_gone()
