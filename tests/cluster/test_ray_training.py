"""Training on two nodes of a Ray cluster: a lost node, a stop, and the weights of an undisturbed run."""

import os
import signal

import pytest

from tests.cluster.test_nodes import TWO_NODES, launched
from tests.cluster.training_run import Run

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


@pytest.fixture
def on_ray(ray_nodes):
    """Settings of a launch on both nodes."""
    settings = {name: value for name, value in TWO_NODES.items() if name != "command"}
    return settings | {"kind": "ray", "ray": {"address": ray_nodes.address, "cpus": 1}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, shards):
    """Weights of the same run on two nodes without Ray."""
    run = Run(tmp_path_factory.mktemp("undisturbed") / "run", shards)
    assert launched(run, TWO_NODES).wait() == 0, run.said()
    return run.weights


def test_a_run_that_loses_an_agent_goes_on_by_itself(make_run, on_ray, undisturbed):
    run = make_run()
    handle = launched(run, on_ray, attempts=2)
    run.reach(25)
    os.kill(run.parts("agent")[-1], signal.SIGKILL)
    assert handle.wait() == 0, run.said()
    assert run.summary["resumed_from"], run.said()
    assert run.weights == undisturbed
    run.assert_gone()


def test_a_run_that_loses_a_node_waits_for_it_and_goes_on(make_run, on_ray, ray_nodes, undisturbed):
    run = make_run()
    handle = launched(run, on_ray, attempts=2)
    run.reach(25)
    ray_nodes.kill(1)
    ray_nodes.start(1, SQUEEZE_NODE=str(ray_nodes.folder / "node-1"))
    assert handle.wait() == 0, run.said()
    assert run.summary["resumed_from"], run.said()
    assert run.weights == undisturbed
    run.assert_gone()


def test_a_run_whose_supervisor_is_killed_leaves_nothing_running(make_run, on_ray):
    run = make_run(max_steps=5000, checkpoint_every=1000)
    handle = launched(run, on_ray, detached=True)
    run.reach(10)
    os.kill(run.parts("supervisor")[0], signal.SIGKILL)
    assert handle.wait() == 1
    run.assert_gone()
    assert run.summary["state"] == "interrupted"


def test_more_nodes_than_the_cluster_has_are_refused(make_run, on_ray, caplog):
    run = make_run()
    assert launched(run, on_ray, nodes=3, attempts=3).wait() == 2
    assert "launch.nodes is 3, and 2 of the Ray cluster's 2 nodes have 1 CPU (launch.ray): a job would" in caplog.text
    run.assert_gone()
