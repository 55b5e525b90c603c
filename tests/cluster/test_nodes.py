"""Training on nodes that are commands: whatever is killed, nothing is lost but steps since a checkpoint, nothing is
left running, and the weights are those of a run that nobody disturbed."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline.launch.choice import launcher_of
from pipeline.launch.launcher import Program, Shared
from pipeline.launch.ranks import Batch
from pipeline.launch.settings import LaunchSettings
from pipeline.launch.supervised import running_in
from tests.cluster.training_run import Run, wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux: /proc and PR_SET_PDEATHSIG"),
]
LOG = logging.getLogger("test_nodes")
BARE = f"env -i PATH={os.environ['PATH']} sh -c {{program}}"
"""A node that knows nothing of this process's environment."""
TWO_NODES = {
    "kind": "command",
    "nodes": 2,
    "ranks": 1,
    "interface": "lo",
    "lost_seconds": 30,
    "command": {"template": BARE},
}
ONE_NODE = {"ranks": 2, "detached": True}


def program(run):
    shared = Shared(Batch(4, 64), 1, "cpu")
    arguments = ("train", "--config", str(run.config))
    return Program("trainer", arguments, shared, {"OMP_NUM_THREADS": "1"}, folder=run.out)


def launched(run, settings, **changes):
    return launcher_of(LaunchSettings(**settings | changes)).start(program(run), LOG)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, shards):
    """Weights of the same run on two nodes, with nothing killed."""
    run = Run(tmp_path_factory.mktemp("undisturbed") / "run", shards)
    assert launched(run, TWO_NODES).wait() == 0, run.said()
    run.assert_gone()
    return run.weights


def kill(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


KILLS = {
    "an agent": lambda run: kill(run.parts("agent")[0]),
    "a rank": lambda run: kill(run.parts("rank")[-1]),
    "a whole node": lambda run: kill(*run.node(1)),
}


@pytest.mark.parametrize("killed", KILLS.values(), ids=KILLS)
def test_a_run_that_loses_a_part_goes_on_by_itself(make_run, undisturbed, killed):
    run = make_run()
    handle = launched(run, TWO_NODES, attempts=2)
    run.reach(25)
    killed(run)
    assert handle.wait() == 0, run.said()
    assert run.summary["resumed_from"], run.said()
    assert run.weights == undisturbed
    run.assert_gone()


def test_a_run_that_loses_its_supervisor_ends_and_goes_on_when_it_is_launched_again(make_run, undisturbed):
    run = make_run()
    handle = launched(run, TWO_NODES, detached=True)
    run.reach(25)
    kill(*run.parts("supervisor"))
    assert handle.wait() == 1
    handle = launched(run, TWO_NODES, detached=True)  # while the nodes of the first may still be saving
    assert handle.wait() == 0, run.said()
    assert run.summary["resumed_from"]
    assert run.weights == undisturbed
    run.assert_gone()


def test_a_run_that_is_stopped_saves_on_every_node(make_run):
    run = make_run(max_steps=5000, checkpoint_every=1000)
    handle = launched(run, TWO_NODES, attempts=3)
    run.reach(25)
    handle.stop()
    assert handle.wait() == 75, run.said()
    assert run.summary["state"] == "interrupted"
    assert len(list((run.out / "checkpoints").glob("step_*"))) == 1
    run.assert_gone()


STARTS = """
    import logging, sys, time
    from pathlib import Path
    from tests.cluster.test_nodes import launched
    from tests.cluster.training_run import Run
    run = Run.there(Path(sys.argv[1]))
    launched(run, {settings!r}).wait()
"""


@pytest.mark.parametrize("detached", [True, False])
def test_a_trainer_outlives_whoever_has_started_it_where_it_is_to_and_only_there(make_run, detached):
    run = make_run(max_steps=150)
    starts = textwrap.dedent(STARTS.format(settings=ONE_NODE | {"detached": detached, "attempts": 2}))
    starter = subprocess.Popen([sys.executable, "-c", starts, str(run.out)], cwd=Path(__file__).parents[2])
    run.reach(20)
    starter.kill()
    starter.wait()
    if not detached:
        run.assert_gone()
        assert run.summary["state"] == "interrupted"
        return
    step = run.step
    wait_for(lambda: run.step > step + 5, "the trainer going on")
    handle = running_in(run.out, LOG)
    assert handle.wait() == 0, run.said()
    assert run.summary["resumed_from"] == []
    run.assert_gone()


def test_a_detached_trainer_that_nobody_attends_saves_and_ends(make_run):
    run = make_run(max_steps=5000, checkpoint_every=1000)
    handle = launched(run, ONE_NODE, unattended_hours=15 / 3600)
    while run.step == 0:
        assert handle.wait(1) is None, run.said()
    wait_for(lambda: not run.parts("supervisor"), "the end of the unattended trainer")
    assert run.summary["state"] == "interrupted"
    run.assert_gone()
