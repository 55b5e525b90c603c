"""A Ray and a Slurm of two nodes each on this machine, started once for all tests, or skipped with the reason."""

import logging
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import slurm_nodes
from tests.cluster.ray_nodes import ENVIRONMENT, RayNodes
from tests.cluster.slurm_nodes import SlurmNodes
from tests.cluster.training_run import Run, processes
from tests.pipeline.store.remote import buckets
from tests.trainer.run.tiny_shards import write_shards


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server on loopback; empty where moto is missing."""
    try:
        from moto.server import ThreadedMotoServer
    except ImportError:
        yield ""
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def s3_bucket(s3_endpoint: str) -> dict[str, str]:
    """What the environment of a process says of a new bucket."""
    if not s3_endpoint:
        pytest.skip("moto is missing: pip install 'squeeze-gpt[cluster]'")
    name = f"squeeze-{secrets.token_hex(6)}"
    buckets.make_bucket(s3_endpoint, name)
    return {"AWS_ENDPOINT_URL": s3_endpoint, "SQUEEZE_STORE": f"s3://{name}/store", **buckets.ENVIRONMENT}


@pytest.fixture(scope="session")
def ray_nodes(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Iterator[RayNodes]:
    """Two nodes of a CPU each, with a folder of its own each, that find the S3 server."""
    pytest.importorskip("ray", reason="pip install 'squeeze-gpt[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        server = {"AWS_ENDPOINT_URL": s3_endpoint, **buckets.ENVIRONMENT} if s3_endpoint else {}
        folder = tmp_path_factory.mktemp("ray")
        nodes = RayNodes(folder, **server)
        try:
            for number in range(2):
                nodes.start(number, SQUEEZE_NODE=str(folder / f"node-{number}"))
            yield nodes
        finally:
            import ray

            ray.shutdown()
            nodes.stop()


@pytest.fixture(scope="session")
def slurm_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmNodes]:
    if why := slurm_nodes.why_not():
        pytest.skip(why)
    nodes = SlurmNodes(tmp_path_factory.mktemp("slurm"))
    try:
        nodes.start()
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture
def slurm(slurm_folder: SlurmNodes, monkeypatch: pytest.MonkeyPatch) -> SlurmNodes:
    """Two nodes of two CPUs each, which this process's commands find."""
    for name, value in slurm_folder.environment.items():
        monkeypatch.setenv(name, value)
    return slurm_folder


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def make_run(tmp_path: Path, shards: Path) -> Iterator[Callable[..., Run]]:
    """`make_run("name", training settings...)`; nothing of it is left running."""
    made: list[Run] = []

    def make(name: str = "run", **training: object) -> Run:
        made.append(Run(tmp_path / name, shards, **training))
        return made[-1]

    yield make
    for run in made:
        for pid in processes(run.out):
            os.kill(pid, signal.SIGKILL)
